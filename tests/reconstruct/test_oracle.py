"""Programs recorded by the native recorder and rebuilt, against what ``sys.settrace`` sees of them, line by line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from aftertrace.model import Missing, Value, ValueKind
from aftertrace.reconstruct.execution import Execution, StepKind

from .oracle import PROGRAMS, record, run

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


@pytest.mark.parametrize("name", PROGRAMS)
def test_every_line_has_the_locals_that_settrace_saw(name: str, tmp_path: Path) -> None:
    execution, program = record(tmp_path, PROGRAMS[name])
    run(ORACLE, program, tmp_path / "oracle.json")
    expected = json.loads((tmp_path / "oracle.json").read_text())
    got = json.loads(json.dumps(_lines(execution)))
    assert len(expected) > 5
    assert [line[:2] for line in got] == [line[:2] for line in expected]
    differing = [(ours, theirs) for ours, theirs in zip(got, expected, strict=True) if not _agree(ours, theirs)]
    assert differing == []


def test_the_raise_is_found_with_its_value(tmp_path: Path) -> None:
    execution, _ = record(tmp_path, PROGRAMS["exceptions"])
    raised = next(step for step in execution.steps if step.kind is StepKind.RAISE)
    frame = execution.frame(raised)
    assert frame is not None
    assert (frame.code.qualname, raised.line) == ("deep", 5)
    assert raised.value is not None
    assert (raised.value.type, raised.value.items[0].scalar) == ("KeyError", "b")
    caller = execution.caller_at(frame, raised.index)
    assert caller is not None
    assert (caller.code.qualname, frame.call_line) == ("main", 12)
