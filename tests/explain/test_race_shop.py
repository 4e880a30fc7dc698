"""Fault 4 of the shop in both variants, as the agent keeps it: two requests that took the last piece."""

from __future__ import annotations

from pathlib import Path

import pytest

from aftertrace.cli import client
from aftertrace.cli.demo.stage import Stage

pytestmark = [pytest.mark.whole, pytest.mark.timeout(200)]


@pytest.mark.parametrize("seed", [None, 977], ids=["base", "second"])
def test_fault_4(tmp_path: Path, seed: int | None) -> None:
    with Stage.open(tmp_path) as stage:
        stage.up()
        shop = stage.shop("shop", seed)
        shop.traffic("customers", "--count", "6")
        assert shop.traffic("fault", "4")["left"] < 0
        truth = shop.variant.truths[4]
        row = stage.wait_kept(set(), [truth])[4]
        said = client.ask("why", settings=stage.settings, reference=row["trace_id"])
    cause = said["cause"]
    assert (said["finding"]["kind"], cause["status"]) == ("race", "verified"), said
    assert (cause["service"], cause["line"], cause["function"]) == (truth.service, truth.line, truth.function)
    assert (cause["source"], cause["name"]) == (truth.source, truth.name)
    assert cause["value"]["value"]["scalar"] == truth.value
    assert "the values allow no other" in said["finding"]["order"]
