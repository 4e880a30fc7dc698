"""`find` on the shop, with its own server and agents: the faults by their values, and each example of docs/query.md."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from aftertrace.cli.demo.acts import customers
from aftertrace.cli.demo.processes import Shop
from aftertrace.cli.demo.stage import Stage, aftertrace

pytestmark = [pytest.mark.whole, pytest.mark.timeout(300)]

DOCS = Path(__file__).parents[2] / "docs" / "query.md"
EXAMPLES = [
    line for block in re.findall(r"```traceql\n(.*?)```", DOCS.read_text(), re.DOTALL) for line in block.splitlines()
]


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """After faults 1 and 4, with customers before them."""
    with Stage.open(tmp_path_factory.mktemp("shop")) as stage:
        stage.up()
        shop = stage.shop("shop", None)
        customers(shop, 6)
        for fault in (1, 4):
            play(stage, shop, fault)
        yield stage


def play(stage: Stage, shop: Shop, fault: int) -> None:
    known = {row["trace_id"] for row in stage.kept()}
    shop.traffic("fault", str(fault))
    assert stage.wait_kept(known, [shop.variant.truths[fault]])


def find(stage: Stage, query: str) -> dict[str, Any]:
    return stage.answer("find", query)


def only(answer: dict[str, Any]) -> dict[str, Any]:
    (request,) = answer["requests"]
    (match,) = request["matches"]
    return {**match, "trace_id": request["trace_id"]}


def test_fault_1_is_found_by_the_value_that_began_it(stage: Stage) -> None:
    match = only(find(stage, '{ call.function = "region_for" && local.zone = "" }'))
    assert (match["service"], match["function"]) == ("gateway", "region_for")
    assert match["path"].endswith("gateway/regions.py")
    assert match["source"] == 'region = f"{country}-{zone}"'
    assert ("local.zone", "''") in [(one["name"], one["text"]) for one in match["values"]]


def test_fault_4_is_found_by_the_negative_quantity(stage: Stage) -> None:
    answer = find(stage, '{ call.function = "take" && return < 0 }')
    places = {(match["service"], match["source"]) for one in answer["requests"] for match in one["matches"]}
    assert places == {("inventory", "return after")}
    values = [value["text"] for one in answer["requests"] for match in one["matches"] for value in match["values"]]
    assert "-1" in values


def test_the_next_command_goes_to_the_step(stage: Stage) -> None:
    words = aftertrace("find", '{ exception.type = "KeyError" }')
    done = subprocess.run(words, env=stage.env, capture_output=True, text=True, timeout=60, check=True)
    assert "inventory/shelves.py:15" in done.stdout
    assert "exception.type = 'KeyError'" in done.stdout
    command = re.search(r"next: aftertrace (step \S+ --at \S+)", done.stderr)
    assert command is not None
    first = json.loads(stage.run(*command[1].split(), "--json", stdin="").splitlines()[0])
    assert first["place"]["source"] == "shelf = SHELVES[region]"


@pytest.mark.parametrize("example", EXAMPLES)
def test_each_example_of_the_page_finds_something(stage: Stage, example: str) -> None:
    answer = find(stage, example)
    assert answer["matched"] > 0, answer


def test_there_are_examples() -> None:
    assert len(EXAMPLES) > 10
