"""Slow requests, really recorded: the line that made them slow, with its numbers; nothing is proven that is not."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aftertrace import _native
from aftertrace.explain.why import ask
from aftertrace.show import why as rendering
from aftertrace.show.console import Console
from aftertrace.wire.bundle import TraceData

from ..reconstruct.services import running
from .recorded import place
from .shops import Traces, as_siblings, kept_for
from .slow_programs import OTHERS, REPEATED, SINGLE, Slow, skus

_MARK = "  # cause"
ALL = REPEATED | SINGLE | OTHERS


def stripped(program: Slow) -> dict[str, str]:
    return {name: text.replace(_MARK, "") for name, text in program.services.items()}


def marked(program: Slow) -> set[tuple[str, int]]:
    return {
        (name, number)
        for name, text in program.services.items()
        for number, line in enumerate(text.split("\n"), 1)
        if line.endswith(_MARK)
    }


def record(directory: Path, program: Slow, level: str = "lines") -> tuple[TraceData, list[TraceData]]:
    """The slow request, kept for its latency, and healthy siblings of it."""
    *healthy, slow = record_all(directory, program, [*program.healthy, program.body], level)
    return kept_for(slow, "latency"), as_siblings(healthy)


def record_all(directory: Path, program: Slow, bodies: list[Any], level: str = "lines") -> list[TraceData]:
    """A request for each body, after one that imports and warms up."""
    number = _native.LEVEL_LINES if level == "lines" else _native.LEVEL_CALLS
    first = next(iter(program.services))
    with running(directory, stripped(program), number) as services:
        services.request(first, "/x", bodies[0])
        return [services.trace(services.request(first, "/x", body), level) for body in bodies]


def asked(slow: TraceData, healthy: list[TraceData]) -> dict[str, Any]:
    sources = Traces([slow, *healthy], [one.trace_id for one in healthy])
    said = ask(sources, reference=slow.trace_id).to_json()
    json.dumps(said)
    text = rendering.render(said, Console(100))
    assert len(text.splitlines()) <= 19  # and the line with the next commands
    assert all(len(line) <= 100 for line in text.splitlines()), text
    return said


def never_wrong(said: dict[str, Any], program: Slow) -> None:
    cause = said["cause"]
    if cause["status"] == "verified" and place(cause) not in marked(program):
        pytest.fail(f"proven, and wrong: {cause}")


def check(said: dict[str, Any], program: Slow, status: str | None) -> None:
    finding, cause = said["finding"], said["cause"]
    assert finding["kind"] == "slow"
    assert sum(row["total_ns"] for row in finding["where"]) == finding["duration_ns"]
    assert sum(row["share"] for row in finding["where"]) == pytest.approx(1)
    never_wrong(said, program)
    at_most = {"unknown", status} if program in OTHERS.values() else {status}
    assert cause["status"] in at_most, (cause, finding)
    assert bool(cause["doubts"]) == (cause["status"] == "likely")
    if cause["status"] == "unknown":
        assert (cause["path"], cause["line"]) == ("", 0)
        assert said["unknown"]
        return
    if marked(program):
        assert place(cause) in marked(program), cause
    if program.made_by:
        assert finding["made_by"] == program.made_by
    if program.made_by == "repeated":
        again = finding["repeated"]
        assert (again["count"], again["sequential"]) == (program.count, True)
        assert program.what in again["what"]
        assert again["share"] >= 0.5
        if program.collection:
            assert cause["name"] == f"len({program.collection})"
            assert again["collection"]["exact"] == (program.collection != "")
            assert cause["value"]["value"]["scalar"] == program.count
    else:
        assert program.what in cause["says"]


def calmly(directory: Path, attempt: Callable[[Path], None]) -> None:
    """Again, twice at most, where the machine may have stood still for longer than the request was meant to take; not
    for a wrong line that is said to be proven."""
    for number in range(3):
        try:
            (directory / str(number)).mkdir()
            return attempt(directory / str(number))
        except AssertionError:
            if number == 2:
                raise
    return None


@pytest.mark.parametrize("name", ALL)
def test_slow(tmp_path: Path, name: str) -> None:
    def attempt(directory: Path) -> None:
        program = ALL[name]
        slow, healthy = record(directory, program)
        if program.healthy:
            said = asked(slow, healthy)
            check(said, program, program.status)
            assert said["finding"]["usual"]["n"] == len(healthy)
            assert program.doubt in " ".join(said["cause"]["doubts"])
        if program.alone is not None:
            check(asked(slow, []), program, program.alone)

    calmly(tmp_path, attempt)


@pytest.mark.parametrize("name", ALL)
def test_without_lines(tmp_path: Path, name: str) -> None:
    """At level calls a line that calls recorded functions is known still; of others at most the function is likely."""
    calmly(tmp_path, lambda directory: _without_lines(directory, ALL[name], proven=name in REPEATED))


def _without_lines(directory: Path, program: Slow, *, proven: bool) -> None:
    slow, healthy = record(directory, program, "calls")
    for siblings in (healthy, []) if program.alone is not None else (healthy,):
        said = asked(slow, siblings)
        cause = said["cause"]
        never_wrong(said, program)
        if cause["status"] == "verified":
            assert said["finding"]["repeated"]["count"] == program.count
        if cause["status"] == "likely" and marked(program) and place(cause) not in marked(program):
            assert any("lines of this call were not recorded" in one for one in cause["doubts"])
    directly = any(one in _marked_text(program) for one in ("execute", "call(", "product.price"))
    if proven and not directly:
        said = asked(slow, healthy)
        assert said["cause"]["status"] == "verified", (said["cause"], said["finding"])


def test_what_the_siblings_and_the_group_say(tmp_path: Path) -> None:
    """How sizes and durations belong together, and how many others of the group it happened to."""
    calmly(tmp_path, _siblings_and_group)


def _siblings_and_group(directory: Path) -> None:
    program = REPEATED["a property that asks the database"]
    sizes = list(range(5, 95, 10))
    *healthy, few, more, slow = record_all(directory, program, [skus(n) for n in (*sizes, 80, 200, 350)])
    few, more, slow = (kept_for(one, "latency") for one in (few, more, slow))
    group = [one.trace_id for one in (slow, more, few)]
    sources = Traces([slow, more, few, *as_siblings(healthy)], [one.trace_id for one in healthy], group)
    said = ask(sources, reference=slow.trace_id).to_json()
    check(said, program, "verified")
    again = said["finding"]["repeated"]
    assert (again["siblings"]["n"], again["siblings"]["least"], again["siblings"]["most"]) == (9, 5, 85)
    assert again["correlation"]["n"] == 9
    assert 0 < again["correlation"]["r"] <= 1
    assert said["finding"]["impact"] == {"members": 2, "same": 1, "most": 200}
    text = rendering.render(said, Console(100))
    assert "IMPACT     1 of 2 other kept requests of its group made more rounds than any healthy one, 200 at" in text


def _marked_text(program: Slow) -> str:
    return "".join(line for text in program.services.values() for line in text.split("\n") if line.endswith(_MARK))
