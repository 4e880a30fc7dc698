"""What was shed is said wherever a recording is shown; nothing is guessed about it; any LEVEL definitions are read."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aftertrace.agent import focus
from aftertrace.explain import show
from aftertrace.explain.cause.failure import DEATH
from aftertrace.explain.scene import shed
from aftertrace.explain.why import why
from aftertrace.model import Keep, ValueKind
from aftertrace.reconstruct.build import build
from aftertrace.reconstruct.execution import Execution, StepKind
from aftertrace.show import show as show_text
from aftertrace.show import step as step_text
from aftertrace.show import why as why_text
from aftertrace.show.console import Console
from aftertrace.show.session import Session
from aftertrace.wire import recording
from aftertrace.wire.bundle import TraceData
from aftertrace.wire.definitions import EXCEPTIONS, LevelChange

from ..reconstruct.oracle import record
from ..reconstruct.services import Services, running
from .leveled import PROGRAM, recorded

XX = {"country": "XX"}
BUDGET, COLD, LONG = 1, 2, 5  # causes


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    with running(tmp_path_factory.mktemp("leveled"), {"shop": PROGRAM}) as services:
        services.request("shop", "/warm", {})
        yield services


@pytest.fixture(scope="module")
def failed(shop: Services) -> TraceData:
    """With all its lines."""
    return recorded(shop, "/find", XX)


def caused(trace: TraceData, cause: int) -> TraceData:
    """The same as if the governor had done it for that cause: what a test forces is told as ``cold``."""
    read = [recording.read(data) for data in trace.recordings]
    for one in read:
        one.definitions.levels = [replace(change, cause=cause) for change in one.definitions.levels]
    return replace(trace, recordings=[recording.write(one) for one in read])


def with_levels(trace: TraceData, changes: list[LevelChange]) -> TraceData:
    read = [recording.read(data) for data in trace.recordings]
    for one in read:
        one.definitions.levels = changes
    return replace(trace, recordings=[recording.write(one) for one in read])


def told(trace: TraceData) -> dict[str, Any]:
    """What ``why`` says; its text can be drawn."""
    answer = why(build(trace)).to_json()
    assert why_text.render(answer, Console(120))
    return answer


def rows(execution: Execution) -> dict[str, dict[str, Any]]:
    return {one["function"]: one for one in show.shown(execution, limit=100).to_json()["rows"] if one["type"] == "call"}


def shown(execution: Execution, **how: bool) -> str:
    return show_text.render(show.shown(execution, limit=100).to_json(), Console(130), **how)


def test_with_all_lines_nothing_is_said_of_levels(failed: TraceData) -> None:
    execution = build(failed)
    assert {one.level for one in execution.frames.values()} == {"lines"}
    assert list(execution.shed) == []
    answer = told(failed)
    assert (answer["cause"]["status"], answer["cause"]["function"]) == ("verified", "zone_of")
    assert answer["next_failure"] == ""
    assert answer["coverage"]["services"][0]["shed"]["says"] == ""
    assert "nothing lost in the recording" in answer["ruled_out"]
    assert "shed" not in shown(execution)
    assert "no gaps" in shown(execution)


def test_a_call_without_lines_is_marked_and_says_why(shop: Services) -> None:
    trace = caused(recorded(shop, "/find", XX, zone_of=1), BUDGET)
    execution = build(trace)
    assert {name: row["level"] for name, row in rows(execution).items()} == {
        "handle": "lines", "region_for": "lines", "zone_of": "calls", "find": "lines",
    }  # fmt: skip
    said = rows(execution)["zone_of"]["not_recorded"]
    assert said.startswith("lines of this call were not recorded: over the budget since ")
    marked = [line for line in shown(execution).splitlines() if line.endswith("calls only")]
    assert [line.strip().partition("(")[0] for line in marked] == ["zone_of"]
    assert "shed: shop: 1 of 4 calls without lines" in shown(execution)
    assert "no gaps" not in shown(execution)
    answer = told(trace)
    assert answer["cause"]["status"] == "unknown"
    assert any("who set zone in zone_of: its lines were not recorded, over the budget" in one
               for one in answer["unknown"])  # fmt: skip
    assert answer["coverage"]["services"][0]["shed"]["calls_only"] == 1
    assert answer["next_failure"].startswith("more is recorded: what took part in this is at lines in every process")


def test_a_function_that_was_not_recorded_is_named_with_its_place(shop: Services) -> None:
    trace = caused(recorded(shop, "/find", XX, zone_of=0), BUDGET)
    execution = build(trace)
    [one] = execution.shed
    line = PROGRAM.splitlines().index("def zone_of(country):") + 1
    assert (one.function, one.line, one.cause, one.level, one.partly) == ("zone_of", line, "budget", 0, False)
    assert 0 < one.since_ns <= execution.steps[0].time_ns
    text = shown(execution)
    assert "shed: shop: zone_of not recorded (over the budget since " in text
    assert f"shop.py:{line}" not in text
    assert f"zone_of at shop/shop.py:{line}: over the budget since " in shown(execution, shed=True)
    answer = told(trace)
    assert answer["cause"]["status"] == "unknown"
    assert answer["cause"]["says"].startswith("zone_of() gave it, and was not recorded: over the budget since ")
    assert answer["next"][1].endswith(" --shed")
    gaps = Session(execution).run("gaps")["gaps"]
    assert any(gap["reason"] == "shed" and "zone_of" in gap["detail"] for gap in gaps)


UNKNOWN = [
    ("/inline", XX, {"region_for": 0}, "region_for()"),  # what it called is recorded, and gave another value
    ("/find", XX, {"region_for": 0}, "region_for()"),
    ("/find", XX, {"find": 1}, "its lines were not recorded"),
    ("/through", {"region": "xx"}, {"through": 0}, "through()"),  # recorded code called by it
    ("/through", {"region": "xx"}, {"through": 1}, "who passed region in through"),
    ("/middle", {"region": "q", "level": 0}, {}, "middle()"),  # in its middle
    ("/middle", {"region": "q", "level": 1}, {}, "which values middle had where it failed"),
    ("/sink", {"region": "DE-W1"}, {"sink": 0}, "sink not recorded"),  # it changed an object
]


@pytest.mark.parametrize(("path", "body", "levels", "says"), UNKNOWN)
def test_what_came_from_code_that_was_shed_is_unknown(
    shop: Services, path: str, body: object, levels: dict[str, int], says: str
) -> None:
    answer = told(recorded(shop, path, body, **levels))
    assert answer["failure"]["kind"] == "exception"
    assert answer["cause"]["status"] == "unknown", answer["cause"]
    assert any(says in one for one in [answer["cause"]["says"], *answer["unknown"]]), answer["unknown"]
    assert answer["next_failure"]
    assert "nothing lost in the recording" not in answer["ruled_out"]


def test_an_exception_out_of_code_that_was_shed_leaves_a_doubt(shop: Services) -> None:
    """It names the value, so that the value is suspect; but who raised it was not seen."""
    cause = told(recorded(shop, "/find", XX, find=0))["cause"]
    assert (cause["status"], cause["function"]) == ("likely", "zone_of")
    assert any("raised in find(), which was not recorded" in one for one in cause["doubts"])


def test_one_steps_over_and_into_a_call_without_lines(shop: Services) -> None:
    session = Session(build(recorded(shop, "/find", XX, region_for=1)))
    stop = session.run("goto region_for")
    assert (stop["kind"], stop["place"]["function"], stop["place"]["level"]) == ("start", "region_for", "calls")
    assert "lines of this call were not recorded" in step_text.render(stop, Console(120))
    assert {line["ran"] for line in stop["source"]["lines"]} == {None}
    assert session.run("next")["kind"] == "return"
    assert session.run("print zone")["text"] == "''"  # all locals at its end
    session.run("goto region_for")
    assert session.run("step")["place"]["function"] == "zone_of"
    assert session.run("out")["place"]["function"] == "region_for"
    assert session.run("next")["place"]["function"] == "handle"
    assert session.run("break shop.py:13")["error"]["hint"].startswith("It is in region_for; lines of this call")


def test_a_call_that_lost_its_lines_in_the_middle(shop: Services) -> None:
    execution = build(recorded(shop, "/twice", {"region": "q"}))
    [frame] = [one for one in execution.frames.values() if one.code.name == "twice"]
    assert frame.level == "mixed"
    own = [execution.steps[index] for index in execution.steps_of(frame)]
    assert any(one.unseen for one in own)
    assert not own[0].unseen
    written = {one.name: one.line for name in frame.code.names for one in execution.history(frame, name)}
    lines = PROGRAM.splitlines()
    assert written["second"] == 0  # which line wrote it was not seen
    assert lines[written["first"] - 1].strip() == "first = region"
    assert lines[written["third"] - 1].strip() == 'third = second + "?"'
    session = Session(execution)
    session.run("goto raise")
    stop = session.run("list 8")
    ran = {line["text"].strip(): line["ran"] for line in stop["source"]["lines"]}
    assert ran["first = region"] is True
    assert ran['second = first + "!"'] is None  # it did run
    assert rows(execution)["twice"]["level"] == "mixed"


def test_a_death_in_a_call_without_lines_is_no_line(tmp_path: Path) -> None:
    program = (
        "import os, signal\nfrom aftertrace import _native\n"
        "def stands(n):\n    big = n * 2\n    if n:\n        os.kill(os.getpid(), signal.SIGKILL)\n    return big\n"
        "def handle(path, body):\n    stands(0)\n    _native.set_code_level(stands.__code__, 1)\n    return stands(1)\n"
    )
    with running(tmp_path, {"shop": program}) as services:
        trace_id = services.request("shop", "/x", {})
        services.services["shop"].process.wait(timeout=30)
        trace = services.trace(trace_id)
        uid = services.services["shop"].reader.process_uid.hex()
    keep = Keep(trace_id, DEATH, "killed", "shop", uid, trace.spans[0].start_ns + 1)
    answer = told(replace(trace, keeps=[keep]))
    assert answer["failure"]["kind"] == "death"
    assert answer["cause"]["function"] == "stands"
    assert answer["cause"]["status"] == "likely"
    assert any("lines of this call were not recorded" in one for one in answer["cause"]["doubts"])


HOT = """
import time
from aftertrace import _native
def fib(n):
    return n if n < 2 else fib(n - 1) + fib(n - 2)
def level_of(name):
    return min([level for _, known, _, level, _, _ in _native.hot(1000) if known == name], default=2)
def handle(path, body):
    if path == "/work":
        _native.set_budget(0.005)
        until = time.process_time() + 20
        while level_of("fib") == 2 and time.process_time() < until:
            fib(12)
            _native.govern()
        return level_of("fib")
    number = fib(1)
    return {2: "two"}[number]
"""


def test_what_the_governor_shed_is_said_to_be_over_the_budget(tmp_path: Path) -> None:
    with running(tmp_path, {"shop": HOT}) as services:
        services.request("shop", "/work", {}, timeout=60)
        trace = services.trace(services.request("shop", "/x", {}))
    execution = build(trace)
    answer = told(trace)
    assert answer["cause"]["status"] == "unknown"
    calls = [one for one in execution.frames.values() if one.code.name == "fib"]
    if calls:
        assert [(one.level, one.cause) for one in calls] == [("calls", "budget")]
    else:
        assert ("fib", "budget") in [(one.function, one.cause) for one in execution.shed]
    assert "over the budget since " in json.dumps(answer)
    assert "shed: shop: " in shown(execution)


@pytest.mark.parametrize("level", [0, 1, 2])
def test_events_of_exceptions_that_are_off_are_said(failed: TraceData, level: int) -> None:
    changes = [LevelChange(EXCEPTIONS, level, BUDGET, 1), LevelChange(EXCEPTIONS, 3, COLD, (1 << 64) - 1)]
    trace = with_levels(failed, changes)
    [one] = build(trace).shed
    assert (one.what, one.level, one.cause) == ("exceptions", level, "budget")
    assert "exceptions" in told(trace)["coverage"]["services"][0]["shed"]["says"]
    assert "no other exception in the request" not in told(trace)["ruled_out"]


def test_what_was_shed_before_or_after_the_request_is_none_of_it(failed: TraceData) -> None:
    [code] = [one.code for one in build(failed).frames.values() if one.code.name == "find"]
    before = [LevelChange(code.id, 0, BUDGET, 1), LevelChange(code.id, 2, COLD, 2)]
    after = [LevelChange(code.id, 0, BUDGET, (1 << 64) - 1)]
    execution = build(with_levels(failed, before + after))
    assert list(execution.shed) == []
    assert {one.level for one in execution.frames.values()} == {"lines"}


def test_code_that_is_too_long_does_not_get_lines_next_time(failed: TraceData) -> None:
    [code] = [one.code for one in build(failed).frames.values() if one.code.name == "find"]
    answer = told(with_levels(failed, [LevelChange(code.id, 1, LONG, 1)]))
    assert "not code of more than 2,000 lines" in answer["next_failure"]


def test_the_focus_holds_as_long_as_is_said() -> None:
    assert focus.SECONDS == shed.FOCUS_MINUTES * 60


# -- any definitions


TICKS = st.one_of(st.integers(0, 5), st.integers(0, (1 << 64) - 1), st.integers(-3000, 3000).map(lambda n: ("near", n)))
CHANGES = st.lists(
    st.tuples(st.one_of(st.integers(0, 12), st.integers(0, 1 << 40)), st.integers(0, 255), st.integers(0, 255), TICKS),
    max_size=12,
)


def near(trace: TraceData) -> int:
    """Ticks in the request's middle."""
    [data] = trace.recordings
    read = recording.read(data)
    return int.from_bytes(read.slices[0].records[3:11], "little")  # of its SEGMENT


@settings(max_examples=150, deadline=None)
@given(CHANGES)
def test_any_definitions_of_levels_give_an_answer(failed: TraceData, found: list[Any]) -> None:
    middle = near(failed)
    changes = [
        LevelChange(code, level, cause, max(middle + at[1], 0) if isinstance(at, tuple) else at)
        for code, level, cause, at in found
    ]
    hold(with_levels(failed, changes))


def hold(trace: TraceData) -> None:
    execution = build(trace)
    json.dumps(told(trace))
    for width in (60, 130):
        text = show_text.render(show.shown(execution, limit=50).to_json(), Console(width), shed=True)
        assert all(line.isprintable() for line in text.splitlines())
    session = Session(execution)
    for line in ("goto raise", "list", "back", "reverse-step", "up", "gaps", "goto start", *["step"] * 8, "break find"):
        answer = session.run(line)
        json.dumps(answer)
        step_text.render(answer, Console(100))


def test_thousands_of_definitions_give_a_bounded_answer(failed: TraceData) -> None:
    chance, middle = random.Random(7), near(failed)
    own = [
        LevelChange(chance.randrange(12), chance.randrange(4), chance.randrange(7), middle + chance.randrange(-9, 9999))
        for _ in range(20_000)
    ]
    strange = [LevelChange(1000 + n, 0, BUDGET, 1) for n in range(20_000)]
    trace = with_levels(failed, own + strange)
    hold(trace)
    answer = show.shown(build(trace), limit=50).to_json()
    assert len(answer["services"][0]["shed"]["functions"]) == shed.MOST
    assert len(json.dumps(answer)) < 200_000


# -- levels that change at random


FLIPS = """
import random
from aftertrace import _native
def flip():
    for function in (f, steps, outer, fails):
        if chance.random() < 0.3:
            _native.set_code_level(function.__code__, chance.choice([0, 1, 2]))
def f(x):
    y = x * 10
    flip()
    z = [y + 1]
    flip()
    w = len(z)
    return w
def steps(n):
    for i in range(n):
        flip()
        twice = i * 2
        yield twice
def fails(x):
    text = f"no {x}"
    flip()
    raise ValueError(text)
def outer(n):
    total = 0
    for twice in steps(n):
        total += twice
        flip()
        try:
            fails(n)
        except ValueError as error:
            message = str(error)
    return total, f(n), outer(n - 1) if n else 0
for seed in range(40):
    chance = random.Random(seed)
    outer(3)
"""


def test_whatever_the_levels_were_no_line_is_said_to_have_written_what_it_did_not(tmp_path: Path) -> None:
    execution, _ = record(tmp_path, FLIPS)
    lines = FLIPS.splitlines()
    levels = [frame.level for frame in execution.frames.values() if frame.code.name in {"f", "steps", "outer", "fails"}]
    assert all(levels.count(one) > 20 for one in ("lines", "calls", "mixed"))
    claimed = 0
    for frame in execution.frames.values():
        if frame.code.name not in {"f", "steps", "outer", "fails"}:
            continue
        for name in frame.code.names:
            for one in execution.history(frame, name):
                if one.line and one.written_at != frame.first_step and one.value.kind is not ValueKind.UNBOUND:
                    claimed += 1
                    assert f"{name} " in lines[one.line - 1] or f"{name}:" in lines[one.line - 1], (name, one)
    assert claimed > 300
    unseen = sum(step.unseen for step in execution.steps)
    assert unseen > 100
    assert not any(step.unseen for step in execution.steps if step.kind is StepKind.START)
