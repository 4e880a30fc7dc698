"""Every event of a program with its values, against what Python callbacks on sys.monitoring see of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from aftertrace.model import ValueKind
from aftertrace.wire import records

from .cases import CASES, GREENLETS, THREADS
from .random_programs import program
from .recorded import WAYS, Machine, Recorded, run, steps

WITH_NAMES = {"Start", "Line", "Return", "Yield", "Unwind"}
WITHOUT_LINE = {"Resume", "Throw", "Handled", "Reraise", "Unwind"}  # not told, or of an instruction that has none

type Story = list[list[Any]]  # events of one activation


def loose(value: Any) -> Any:
    """As the oracle's `plain`: what it does not look into is "?"."""
    if isinstance(value, str) and value.startswith("<"):
        return "?"
    if isinstance(value, list):
        return [loose(item) for item in value]
    if isinstance(value, dict):
        return {str(loose(key)): loose(item) for key, item in value.items()}
    return value


def agree(ours: Any, theirs: Any) -> bool:
    """Equal, but for what was not looked into."""
    if ours == "?" or theirs == "?":
        return True
    if isinstance(ours, list) and isinstance(theirs, list):
        return len(ours) == len(theirs) and all(map(agree, ours, theirs))
    if isinstance(ours, dict) and isinstance(theirs, dict):
        return ours.keys() == theirs.keys() and all(agree(ours[key], theirs[key]) for key in ours)
    return bool(ours == theirs)


def nameless(event: list[Any]) -> list[Any]:
    return [*event[:4], None, event[5]] if event[0] == "Yield" else event


def recorded_stories(recorded: Recorded, kinds: set[str]) -> list[Story]:
    machine = Machine(recorded)
    found: dict[int, Story] = defaultdict(list)
    for step in machine.steps:
        if step.kind not in kinds:
            continue
        parent = machine.frames[step.parent].code.qualname if step.parent else ""
        names = loose(step.names) if step.kind in WITH_NAMES else None
        value = step.value if step.kind in {"Return", "Yield"} else None
        line = step.line if step.kind not in WITHOUT_LINE else 0
        found[step.activation].append([step.kind, parent, step.function, line, names, loose(value)])
    return list(found.values())


def oracle_stories(program: Path, target: Path, kinds: set[str]) -> tuple[list[Story], str]:
    script = Path(__file__).with_name("events_oracle.py")
    done = subprocess.run(
        [sys.executable, script, program, target], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    found: dict[int, Story] = defaultdict(list)
    for kind, activation, parent, function, line, names, value in json.loads(target.read_text()):
        if kind in kinds:
            held = names if kind in WITH_NAMES else None
            kept = value if kind in {"Return", "Yield"} else None
            found[activation].append([kind, parent, function, line if kind not in WITHOUT_LINE else 0, held, kept])
    return list(found.values()), done.stdout


def compare(tmp_path: Path, text: str, frames: str, kinds: set[str], level: int, *, ordered: bool = True) -> None:
    seen = run(tmp_path, text, level, environment={"AFTERTRACE_FRAMES": frames})
    assert (seen.status["frames"], seen.status["doubts"], seen.status["lost"]) == (frames, 0, 0)
    ours = recorded_stories(seen, kinds)
    theirs, said = oracle_stories(tmp_path / "app" / "program.py", tmp_path / "oracle.json", kinds)
    assert seen.out == said
    if not ordered:
        ours, theirs = (sorted(stories, key=lambda s: json.dumps(s, sort_keys=True)) for stories in (ours, theirs))
    if level == 1:  # locals are told once, at the end
        ours, theirs = ([[nameless(event) for event in story] for story in stories] for stories in (ours, theirs))
    assert [[event[:4] for event in story] for story in ours] == [[event[:4] for event in story] for story in theirs]
    differing = [
        (mine, other)
        for one, two in zip(ours, theirs, strict=True)
        for mine, other in zip(one, two, strict=True)
        if not agree(mine, other)
    ]
    assert differing == []
    assert len(ours) > 3


ALL = {*WITH_NAMES, "Resume", "Throw", "Raise", "Reraise", "Handled"}


@WAYS
@pytest.mark.parametrize("name", CASES)
def test_every_event_with_its_locals(tmp_path: Path, name: str, frames: str) -> None:
    compare(tmp_path, CASES[name], frames, ALL, 2)


@WAYS
@pytest.mark.parametrize("name", CASES)
def test_calls_with_arguments_results_and_locals_at_the_end(tmp_path: Path, name: str, frames: str) -> None:
    compare(tmp_path, CASES[name], frames, ALL - {"Line", "Start"}, 1)


@pytest.mark.parametrize("level", [1, 2])
@pytest.mark.parametrize("seed", range(int(os.environ.get("AFTERTRACE_TEST_PROGRAMS", "6"))))
def test_programs_at_random(tmp_path: Path, seed: int, level: int) -> None:
    compare(
        tmp_path,
        program(seed),
        "fast" if sys.version_info < (3, 14) else "public",
        ALL if level == 2 else ALL - {"Line", "Start"},
        level,
    )


@WAYS
@pytest.mark.parametrize("name", THREADS)
def test_threads(tmp_path: Path, name: str, frames: str) -> None:
    compare(tmp_path, THREADS[name], frames, ALL, 2, ordered=False)


@WAYS
@pytest.mark.parametrize("name", GREENLETS)
def test_greenlets_are_found_again(tmp_path: Path, name: str, frames: str) -> None:
    compare(tmp_path, GREENLETS[name], frames, ALL, 2)


def test_an_exception_is_told_with_its_arguments_and_notes(tmp_path: Path) -> None:
    text = """
class Refused(Exception):
    def __init__(self, code, **more):
        super().__init__(code, "no")
        self.code = code
def f():
    error = Refused(7)
    error.add_note("noted")
    raise error
def g():
    try:
        f()
    except Refused as error:
        raise LookupError("outer") from error
try:
    g()
except LookupError:
    pass
"""
    seen = run(tmp_path, text)
    values = {
        record.value.type.rpartition(".")[2]: record.value
        for record in seen
        if type(record).__name__ == "Raise" and record.value.attributes
    }
    assert values["Refused"].kind is ValueKind.EXCEPTION
    told = dict(values["Refused"].attributes)
    assert (told["code"].scalar, [note.scalar for note in told["__notes__"].items]) == (7, ["noted"])
    assert [item.scalar for item in values["Refused"].items] == [7, "no"]
    assert dict(values["LookupError"].attributes)["__cause__"].type.endswith("Refused")


CONTEXTS = """
import asyncio, logging, sys, threading
from aftertrace import _native
async def request(n):
    span = _native.Span(f"request {n}", 2, None)
    token = _native.attach(span)
    mine = {"n": n}
    await step(n)
    for got in numbers(n):
        await asyncio.sleep(0)
    await asyncio.to_thread(blocking, n)
    await asyncio.create_task(child(n))
    asyncio.get_running_loop().call_soon(called, n)
    await asyncio.sleep(0)
    _native.log(9, "l", f"trace {span.trace_id:032x}", None, "f", 1, "f", None)
    _native.keep(f"{span.trace_id:032x}")
    print(n, format(span.trace_id, "032x"))
    _native.detach(token)
    span.end()
async def step(n):
    await asyncio.sleep(0)
    return n
async def child(n):
    await asyncio.sleep(0)
    return n
def numbers(n):
    yield n
    yield n
def blocking(n):
    return n
def called(n):
    return n
async def main():
    await asyncio.gather(*(request(n) for n in range(6)))
asyncio.run(main())
"""


def _traces(out: str) -> dict[int, str]:
    return {int(n): trace for n, trace in (line.split() for line in out.splitlines())}


@WAYS
def test_each_step_stands_in_the_trace_of_its_task(tmp_path: Path, frames: str) -> None:
    seen = run(tmp_path, CONTEXTS, 2, environment={"AFTERTRACE_FRAMES": frames})
    traces = _traces(seen.out)
    told = [
        (step.names["n"], step.trace)
        for step in Machine(seen).steps
        if step.function in {"step", "numbers", "blocking", "child", "called"}
        and step.kind in {"Line", "Return", "Yield"}
    ]
    assert len(told) > 6 * 8
    assert {n for n, _ in told} == set(traces)
    assert all(traces[n] == trace for n, trace in told)


@pytest.mark.parametrize("level", [0, 1])
def test_logs_stand_in_the_trace_of_their_task_though_no_user_code_runs(tmp_path: Path, level: int) -> None:
    seen = run(tmp_path, CONTEXTS, level, exclude=["*"])
    assert set(seen.definitions.codes) == set()
    said = [
        (record.message.scalar if isinstance(record, records.Log) else f"trace {record.reason}", trace)
        for _, trace, _, data in seen.slices
        for record in records.decode(data, base_ticks=0)
        if isinstance(record, records.Log | records.KeepRecord)
    ]
    assert len(said) == 12
    assert all(text == f"trace {trace}" for text, trace in said)


ATTACHED = """
from aftertrace import _native
def handle(message):
    before = message * 2
    span = _native.Span("message", 5, None)
    token = _native.attach(span)
    inside = before + 1
    for part in parts(message):
        inside += part
    _native.detach(token)
    between = inside
    token = _native.attach(span)
    after = between + 1
    said = [after]
    _native.detach(token)
    span.end()
    print(format(span.trace_id, "032x"))
    return said
def parts(n):
    yield n
    yield n
for message in range(3):
    handle(message)
"""


@WAYS
def test_a_trace_alone_tells_the_frames_that_ran_in_it(tmp_path: Path, frames: str) -> None:
    """A span that begins in the middle of a function: what ran before it stands in no slice of its trace."""
    seen = run(tmp_path, ATTACHED, environment={"AFTERTRACE_FRAMES": frames})
    for message, trace in enumerate(seen.out.split()):
        alone = Recorded([one for one in seen.slices if one[1] == trace], seen.definitions, seen.status)
        told = steps(alone, "handle")
        assert [step.line for step in told if step.kind == "Line"] == [7, 8, 9, 8, 9, 8, 10, 13, 14, 15]
        held = told[-1].names
        assert [held[name] for name in ("before", "between", "said")] == [
            2 * message,
            4 * message + 1,
            [4 * message + 2],
        ]


@WAYS
def test_an_exception_of_an_unrecorded_function_is_raised_where_it_was_called(tmp_path: Path, frames: str) -> None:
    """Also on one line with other calls: the instruction is the call's own."""
    text = """
import json
def f(text):
    return len(text) + json.loads(text) + len(text)
try:
    f("no")
except ValueError:
    pass
"""
    seen = run(tmp_path, text, environment={"AFTERTRACE_FRAMES": frames})
    raised, unwound = seen.of(records.Raise)[0], seen.of(records.Unwind)[0]
    assert raised.lasti == unwound.lasti
    code = compile(text, "program.py", "exec").co_consts
    function = next(one for one in code if getattr(one, "co_name", "") == "f")
    positions = list(function.co_positions())[raised.lasti]
    line = text.splitlines()[3]
    assert line[positions[2] : positions[3]] == "json.loads(text)"
