"""Programs made by chance, with equal values on the same ways: what is called verified is the true line."""

from __future__ import annotations

from pathlib import Path

import pytest

from ..reconstruct.services import running
from .generated import program
from .recorded import answer, place

CASES = 40


@pytest.mark.parametrize("seed", range(2))
def test_verified_is_true(tmp_path: Path, seed: int) -> None:
    text, causes = program(seed, CASES)
    wrong, proven = [], 0
    with running(tmp_path, {"app": text}) as services:
        for number, cause in enumerate(causes):
            trace = services.trace(services.request("app", "/x", {"case": str(number), "n": 3, "yes": True}))
            said = answer(trace)
            assert said["failure"]["exception"] == "ZeroDivisionError"
            if said["cause"]["status"] == "verified":
                proven += 1
                if place(said["cause"]) != ("app", cause):
                    wrong.append((number, cause, said["cause"]["line"], said["cause"]["source"]))
    assert wrong == []
    assert proven >= CASES // 3, "most ways are followed"
