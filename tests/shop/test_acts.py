"""What the demo takes for a fault's request, for a right answer, and for what a person would have had without it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from aftertrace.cli.demo import story, variants
from aftertrace.cli.demo.acts import Happened, Outcome, miss
from aftertrace.cli.demo.processes import Process
from aftertrace.cli.demo.sources import shop_sources
from aftertrace.cli.demo.stage import Row, because_of
from aftertrace.cli.demo.variants import Truth


@pytest.fixture(scope="module")
def truths(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Truth]:
    return variants.make(shop_sources(), tmp_path_factory.mktemp("shop")).truths


def row(name: str, *triggers: tuple[str, str], took: int = 1, at: int = 1) -> Row:
    kept = [{"trigger": trigger, "service": service} for trigger, service in triggers]
    return {"name": name, "duration_ns": took, "time_ns": at, "triggers": kept}


def test_the_slowest_that_was_kept_for_latency(truths: dict[int, Truth]) -> None:
    slow = row("GET /cart/{cart}", ("latency", "orders"), ("latency", "gateway"), took=90)
    others = [
        row("POST /cart/{cart}", ("latency", "gateway"), took=500),
        row("GET /cart/{cart}", ("latency", "gateway"), took=40),
        row("GET /cart/{cart}", ("sibling", "gateway"), took=200),
    ]
    assert because_of(truths[3], [*others, slow]) is slow
    assert because_of(truths[3], others[2:]) is None


def test_two_failures_of_one_route_are_told_apart(truths: dict[int, Truth]) -> None:
    shelf = row("POST /checkout", ("unhandled-exception", "inventory"), ("unhandled-exception", "gateway"))
    job = row("POST /checkout", ("unhandled-exception", "worker"), ("sibling", "inventory"))
    assert because_of(truths[1], [job, shelf]) is shelf
    assert because_of(truths[5], [job, shelf]) is job


def test_of_many_that_were_oversold_the_first(truths: dict[int, Truth]) -> None:
    later, first = row("POST /reserve", ("keep", "inventory"), at=3), row("POST /reserve", ("keep", "inventory"), at=2)
    neighbour = row("POST /reserve", ("neighbour", "inventory"), at=1)
    assert because_of(truths[4], [later, neighbour, first]) is first


def answer(truth: Truth, **other: Any) -> dict[str, Any]:
    cause = {"service": truth.service, "path": f"/shop/{truth.path}", "line": truth.line, "status": "verified"}
    named = {"name": truth.name, "value": {"value": {"scalar": truth.value}}}
    return {"cause": {**cause, **named, **other}}


@pytest.mark.parametrize("fault", range(1, 7))
def test_only_the_line_and_value_that_are_wrong_will_do(truths: dict[int, Truth], fault: int) -> None:
    truth = truths[fault]
    assert miss(answer(truth), truth, Path("/shop")) == ""
    wrong = {"line": truth.line + 1}, {"service": "other"}, {"status": "likely"}, {"value": {"value": {"scalar": -7}}}
    for one in wrong:
        assert miss(answer(truth, **one), truth, Path("/shop"))
    assert miss({"cause": None}, truth, Path("/shop")).endswith("that it does not know")


def test_an_unsure_answer_is_asked_for_again_and_a_wrong_one_is_not(truths: dict[int, Truth]) -> None:
    happened = Happened(truths[3], {}, None, 0, 0)  # type: ignore[arg-type]  # no log is read
    for status, abstains in (("verified", False), ("likely", True), ("unknown", True)):
        why = answer(truths[3], status=status, line=1)
        assert Outcome(happened, {}, why, miss(why, truths[3], Path("/shop"))).abstains is abstains


def test_a_long_stack_trace_is_cut_at_a_frame() -> None:
    frames = "".join(f'  File "a", line {number}, in f\n    g()\n    ~^^\n' for number in range(9))
    lines = story.first_traceback(f"{story.TRACEBACK}\n{frames}KeyError: 1\n")
    assert lines[0] == '  File "a", line 6, in f'
    assert lines[-1] == "KeyError: 1"


def happened(tmp_path: Path, truth: Truth, before: str, meanwhile: str) -> Happened:
    log = tmp_path / "log"
    log.write_text(before + meanwhile)
    process = Process("the service", None, log)  # type: ignore[arg-type]  # only its log is read
    return Happened(truth, {}, process, len(before), len(before + meanwhile))


def test_what_the_log_alone_says(tmp_path: Path, truths: dict[int, Truth]) -> None:
    before = 'Traceback (most recent call last):\n  File "b"\nValueError: of before\nINFO: "GET /b HTTP/1.1" 200 OK\n'
    request = 'INFO: 127.0.0.1:1 - "POST /orders HTTP/1.1" 200 OK\n'
    says, lines = story.without(happened(tmp_path, truths[2], before, "INFO coupon X not taken\n" + request))
    assert (says[:26], lines) == ("There is no stack trace: t", ["INFO coupon X not taken"])
    assert story.without(happened(tmp_path, truths[3], before, request * 3))[1] == [request.strip()]
    assert story.without(happened(tmp_path, truths[6], before, ""))[1] == ['INFO: "GET /b HTTP/1.1" 200 OK']
    trace = (
        'ERROR: x\nTraceback (most recent call last):\n  File "a", line 1\n    x[1]\n    ~^^\nKeyError: 1\nINFO: y\n'
    )
    says, lines = story.without(happened(tmp_path, truths[1], before, trace + request))
    assert (says[:15], lines) == ("The stack trace", ['  File "a", line 1', "    x[1]", "KeyError: 1"])
