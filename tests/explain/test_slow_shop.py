"""Fault 3 of the shop in both variants, really recorded: the line of the loop, proven against healthy carts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from aftertrace.cli.demo.variants import Truth
from aftertrace.explain.why import ask
from aftertrace.show import why as rendering
from aftertrace.show.console import Console
from aftertrace.wire.bundle import TraceData

from .shops import Traces, as_siblings, fetched, keeping_shop, kept_for

pytestmark = [pytest.mark.whole, pytest.mark.timeout(300)]

CUSTOMERS = 9
LOOKS = 3  # at a cart of one, by the same customer
POSITIONS = 120  # traffic.py's big cart


@pytest.fixture(scope="module", params=[None, 977], ids=["base", "second"])
def carts(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Truth, list[TraceData]]:
    """The ground truth, and all carts that were read, the big one first."""
    with keeping_shop(tmp_path_factory.mktemp("slow") / "run", request.param) as (stage, shop):
        shop.traffic("customers", "--count", str(CUSTOMERS), "--pause", "0")
        seen = shop.traffic("fault", "3")
        assert POSITIONS in seen.values()
        traces = fetched(stage, lambda name: name.startswith("GET /") and "{" in name, CUSTOMERS + LOOKS + 1)
        truth = shop.variant.truths[3]
    traces.sort(key=lambda one: -len(one.spans))
    assert len(traces[0].spans) > POSITIONS > 10 * len(traces[1].spans)
    return truth, traces


def asked(slow: TraceData, siblings: list[TraceData]) -> dict[str, Any]:
    said = ask(Traces([slow, *siblings], [one.trace_id for one in siblings]), reference=slow.trace_id).to_json()
    text = rendering.render(said, Console(110))
    assert "WENT (critical path" in text
    assert len(text.splitlines()) <= 19
    return said


# A round stood still; or the code between the queries was stopped so often that they are little of it, which only
# siblings could make up for.
_OF_THE_MACHINE = ("one of the rounds took", "no healthy sibling to compare it with")


def check(said: dict[str, Any], truth: Truth) -> None:
    cause = said["cause"]
    stalled = [one for one in cause["doubts"] if one.startswith(_OF_THE_MACHINE)]
    expected = "likely" if stalled else "verified"
    assert (said["finding"]["kind"], cause["status"], cause["doubts"]) == ("slow", expected, stalled), said
    assert (cause["service"], cause["line"], cause["function"]) == (truth.service, truth.line, truth.function)
    assert Path(cause["path"]).parts[-2:] == Path(truth.path).parts
    assert cause["source"] == truth.source
    assert cause["value"]["value"]["scalar"] == POSITIONS
    assert said["finding"]["repeated"]["count"] == POSITIONS


def test_with_siblings(carts: tuple[Truth, list[TraceData]]) -> None:
    truth, (slow, *healthy) = carts
    said = asked(kept_for(slow, "latency"), as_siblings(healthy))
    check(said, truth)
    again = said["finding"]["repeated"]
    assert again["siblings"]["n"] == CUSTOMERS + LOOKS
    assert 1 <= again["siblings"]["least"] <= again["siblings"]["most"] <= 3
    assert again["correlation"] is None or again["correlation"]["n"] == CUSTOMERS + LOOKS
    assert again["site"]["line"] != truth.line  # the property's query is not the line to blame
    asks = next(one for one in said["finding"]["where"] if one["kind"] == "statement" and one["count"] >= POSITIONS)
    if asks["total_ns"] / asks["count"] < 1.5 * again["siblings"]["each_ns"]:  # else the machine was busier
        assert any(one.startswith("slow query") for one in said["ruled_out"])


def test_asked_about_though_it_was_not_kept_for_that(carts: tuple[Truth, list[TraceData]]) -> None:
    truth, (slow, *healthy) = carts
    quick = sorted(healthy, key=lambda one: one.spans[0].end_ns - one.spans[0].start_ns)[:5]  # of a busy machine
    check(asked(slow, as_siblings(quick)), truth)


def test_without_siblings(carts: tuple[Truth, list[TraceData]]) -> None:
    truth, (slow, *_) = carts
    check(asked(kept_for(slow, "latency"), []), truth)


def test_a_healthy_cart_has_no_finding(carts: tuple[Truth, list[TraceData]]) -> None:
    """Nor is one blamed that is as fast as the others, were it kept for its latency."""
    _, (_, *healthy) = carts
    usual = sorted(healthy, key=lambda one: one.spans[0].end_ns - one.spans[0].start_ns)[len(healthy) // 2]
    others = as_siblings([one for one in healthy if one is not usual])
    sources = Traces([usual, *others], [one.trace_id for one in others])
    assert ask(sources, reference=usual.trace_id).to_json()["finding"] is None
    kept = Traces([kept_for(usual, "latency"), *others], [one.trace_id for one in others])
    assert ask(kept, reference=usual.trace_id).to_json()["cause"]["status"] != "verified"


def test_of_a_recording_without_values(carts: tuple[Truth, list[TraceData]]) -> None:
    """Sources that were not handed over: the line stays, the collection is not known."""
    truth, (slow, *healthy) = carts
    bare = replace(kept_for(slow, "latency"), sources={})
    sources = Traces([bare, *as_siblings(healthy)], [one.trace_id for one in healthy])
    said = ask(sources, reference=slow.trace_id).to_json()
    assert (said["cause"]["line"], said["cause"]["function"]) == (truth.line, truth.function)
    assert any("how many items" in one for one in said["unknown"])
