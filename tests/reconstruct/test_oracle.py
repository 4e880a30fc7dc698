"""Programs recorded by the native recorder and rebuilt, against what ``sys.settrace`` sees of them, line by line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from aftertrace.model import Missing, Value, ValueKind
from aftertrace.reconstruct.build import build
from aftertrace.reconstruct.execution import Execution, StepKind
from aftertrace.wire import recording
from aftertrace.wire.bundle import TraceData

# Runs a program under the recorder, in a span, and writes what its ring holds as one recording.
RECORD = """
import json, runpy, struct, sys
from pathlib import Path
from aftertrace import _native
from aftertrace.wire import recording
program, target = sys.argv[1], sys.argv[2]
root = str(Path(program).parent) + "/"
_native.start(_native.LEVEL_LINES, ring_bytes=8 << 20, defs_bytes=1 << 20, roots=[root], libraries=[])
span = _native.Span("run", 2, None)
token = _native.attach(span)
runpy.run_path(program, run_name="__main__")
_native.detach(token)
span.end()
status = _native.status()
_native.close()
assert status["doubts"] == 0 and status["lost"] == 0, status
reader = _native.Reader(_native.ring_fd())
trace = format(span.trace_id, "032x")
meta = {"trace_id": trace, "process_uid": reader.process_uid.hex(), "pid": reader.pid, "service": "oracle",
        "resource": {"service.name": "oracle"}, "python": "", "level": "lines", "triggers": [], "part": 0}
slices = []
while found := reader.poll():
    slices += [(position, records) for position, owner, _, records in found if owner is not None]
assert not reader.losses()
clock = b"".join(struct.pack("<5Q", *sample) for sample in reader.clocks())
sections = [(recording.META, json.dumps(meta).encode()), (recording.DEFINITIONS, reader.definitions())]
sections += [(recording.CLOCK, clock)]
sections += [(recording.SLICE, struct.pack("<Q", position) + records) for position, records in slices]
Path(target).write_bytes(recording.write_sections(sections))
"""

# The same program under sys.settrace: function, line and locals each time that a line is about to run. A comprehension
# gives its line again for each jump back, which sys.monitoring does not report: a frame's repeats count once.
ORACLE = """
import json, runpy, sys
program, target = sys.argv[1], sys.argv[2]
seen, last = [], {}
def plain(v):
    if isinstance(v, (list, tuple)) and type(v) in (list, tuple):
        return [type(v).__name__, *map(plain, v)]
    if type(v) is dict:
        return ["dict", *([plain(k), plain(i)] for k, i in v.items())]
    if type(v) is float:
        return ["float", v]
    return v if v is None or type(v) in (bool, int, str) else "?"
def trace(frame, event, arg):
    if frame.f_code.co_filename != program or frame.f_code.co_name == "<module>":
        return trace if frame.f_code.co_filename == program else None
    if event == "line" and last.get(frame) != frame.f_lineno:
        last[frame] = frame.f_lineno
        held = {k: plain(v) for k, v in frame.f_locals.items()}
        seen.append([frame.f_code.co_qualname, frame.f_lineno, held])
    return trace
sys.settrace(trace)
try:
    runpy.run_path(program, run_name="__main__")
finally:
    sys.settrace(None)
open(target, "w").write(json.dumps(seen))
"""

PROGRAMS = {
    "arithmetic and branches": """
def price(amount, percent=10, *rest, tax=0.19, **more):
    cut = amount * percent // 100
    left = amount - cut
    if left > 50:
        label = "dear"
    else:
        label = "cheap"
    del cut
    return (label, left, rest, sorted(more), tax)
def main():
    found = []
    for amount in (10, 100, 2 ** 70, -3):
        found.append(price(amount, 20, "x", kind="a"))
    return found
main()
""",
    "loops and things changed in place": """
def work():
    total, seen, counts = 0, [], {}
    for word in ["a", "b", "a", "c"]:
        counts[word] = counts.get(word, 0) + 1
        seen.append(word)
        total += len(seen)
    squares = [n * n for n in range(4)]
    while total > 10:
        total -= 3
    a, (b, *c) = 1, (2, 3, 4)
    return total, squares, a, b, c
work()
""",
    "recursion": """
def fact(n):
    if n < 2:
        return 1
    rest = fact(n - 1)
    return n * rest
fact(6)
""",
    "generators": """
def numbers(n):
    for i in range(n):
        got = yield i
        if got:
            note = got
def both():
    x = yield from numbers(3)
    y = [v for v in numbers(2)]
    return y
def main():
    g = both()
    out = [next(g)]
    out.append(g.send("hello"))
    for rest in g:
        out.append(rest)
    return out
main()
""",
    "exceptions": """
def deep(key):
    table = {"a": 1}
    try:
        return table[key]
    finally:
        key = key * 2
def main():
    tries = 0
    for key in ("a", "b"):
        try:
            value = deep(key)
        except KeyError as error:
            tries += 1
            value = "none"
    return tries, value
main()
""",
    "closures": """
def counter(start):
    state = start
    def step(by):
        nonlocal state
        state += by
        return state
    first = step(1)
    second = step(10)
    return first, second, state
counter(5)
""",
    "tasks": """
import asyncio
async def leaf(i):
    before = i * 10
    await asyncio.sleep(0)
    after = before + 1
    return after
async def main():
    one, two = await asyncio.gather(leaf(1), leaf(2))
    total = one + two
    return total
asyncio.run(main())
""",
}


def _run(script: str, program: Path, target: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", script, str(program), str(target)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def _plain(value: Value) -> Any:
    """A recorded value in the shape that the oracle writes; "?" for what it does not compare."""
    if (
        value.kind is ValueKind.SCALAR
        and value.missing is None
        and value.type in {"NoneType", "bool", "int", "str", "float"}
    ):
        return ["float", value.scalar] if value.type == "float" else value.scalar
    if value.kind is ValueKind.SEQUENCE and value.type in {"list", "tuple"} and value.missing is None:
        return [value.type, *map(_plain, value.items)]
    if value.kind is ValueKind.MAPPING and value.missing is None:
        return ["dict", *([_plain(key), _plain(item)] for key, item in value.entries)]
    return "not captured: depth" if value.missing is Missing.DEPTH else "?"


def _lines(execution: Execution) -> list[list[Any]]:
    found = []
    last: dict[int, int] = {}
    for step in execution.steps:
        frame = execution.frame(step)
        if step.kind is StepKind.LINE and frame is not None and frame.code.name != "<module>":
            if last.get(frame.activation) == step.line:
                continue
            last[frame.activation] = step.line
            held = {name: _plain(binding.value) for name, binding in execution.locals_at(frame, step.index).items()}
            found.append([frame.code.qualname, step.line, held])
    return found


def _agree(got: Any, expected: Any) -> bool:
    """Equal, but for what the recording itself says it did not capture for its depth."""
    if got == "not captured: depth":
        return isinstance(expected, list)
    if isinstance(got, list) and isinstance(expected, list):
        return len(got) == len(expected) and all(map(_agree, got, expected))
    if isinstance(got, dict) and isinstance(expected, dict):
        return got.keys() == expected.keys() and all(_agree(got[key], expected[key]) for key in got)
    return bool(got == expected)


def _record(tmp_path: Path, text: str) -> tuple[Execution, Path]:
    program, target = tmp_path / "program.py", tmp_path / "run.atrec"
    program.write_text(text)
    _run(RECORD, program, target)
    data = target.read_bytes()
    trace_id = recording.read(data).meta.trace_id
    return build(TraceData(trace_id, [], [], [data], {}, [])), program


@pytest.mark.parametrize("name", PROGRAMS)
def test_every_line_has_the_locals_that_settrace_saw(name: str, tmp_path: Path) -> None:
    execution, program = _record(tmp_path, PROGRAMS[name])
    _run(ORACLE, program, tmp_path / "oracle.json")
    expected = json.loads((tmp_path / "oracle.json").read_text())
    got = json.loads(json.dumps(_lines(execution)))
    assert len(expected) > 5
    assert [line[:2] for line in got] == [line[:2] for line in expected]
    differing = [(ours, theirs) for ours, theirs in zip(got, expected, strict=True) if not _agree(ours, theirs)]
    assert differing == []


def test_the_raise_is_found_with_its_value(tmp_path: Path) -> None:
    execution, _ = _record(tmp_path, PROGRAMS["exceptions"])
    raised = next(step for step in execution.steps if step.kind is StepKind.RAISE)
    frame = execution.frame(raised)
    assert frame is not None
    assert (frame.code.qualname, raised.line) == ("deep", 5)
    assert raised.value is not None
    assert (raised.value.type, raised.value.items[0].scalar) == ("KeyError", "b")
    caller = execution.caller_at(frame, raised.index)
    assert caller is not None
    assert (caller.code.qualname, frame.call_line) == ("main", 12)
