"""Programs recorded in a process of their own, and what a plain reader of the format makes of their rings.

The reader here is written from docs/format.md and knows nothing of `reconstruct`: per activation the names as they were
last captured, changed by each record.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from aftertrace.model import Missing, Value, ValueKind
from aftertrace.wire import definitions, linetable, records

# `ringdump.dump(path)` writes what the ring of the calling process holds, as JSON.
RINGDUMP = """
import json
from aftertrace import _native
def dump(path):
    status = _native.status()
    _native.close()
    reader = _native.Reader(_native.ring_fd())
    slices, losses = [], []
    while found := reader.poll():
        slices += [[position, trace and trace.hex(), thread, data.hex()] for position, trace, thread, data in found]
        losses += reader.losses()
    with open(path, "w") as file:
        json.dump({"slices": slices, "losses": losses, "definitions": reader.definitions().hex(), "status": status,
                   "uid": reader.process_uid.hex(), "pid": reader.pid, "ended": reader.ended()}, file)
    reader.close()
"""

DRIVER = """
import json, runpy, sys
sys.path.insert(0, sys.argv[1])
import ringdump
from aftertrace import _native
program, level, options = sys.argv[2], int(sys.argv[3]), json.loads(sys.argv[4])
if level >= 0:
    _native.start(level, **options)
try:
    runpy.run_path(program, run_name="__main__")
finally:
    if level >= 0:
        ringdump.dump(sys.argv[5])
"""
BARE = -1  # the level of a run that is not recorded

# Both ways to the interpreter's frames, where its layout is known.
WAYS = pytest.mark.parametrize("frames", ["fast", "public"] if sys.version_info < (3, 14) else ["public"])


@dataclass
class Recorded:
    """What one process left, and what it said."""

    slices: list[tuple[int, str | None, int, bytes]]
    definitions: definitions.Definitions
    status: dict[str, Any]
    losses: list[tuple[int, int]] = field(default_factory=list)
    uid: str = ""
    pid: int = 0
    ended: bool = False
    out: str = ""

    def __iter__(self) -> Iterator[records.Record]:
        told: dict[str | None, Any] = defaultdict(dict)
        for _, trace, _, data in self.slices:
            yield from records.decode(data, base_ticks=0, told=told[trace])

    def of(self, kind: type[Any]) -> list[Any]:
        return [record for record in self if type(record) is kind]

    def code(self, number: int) -> definitions.CodeDefinition:
        return self.definitions.codes[number]


def load(path: Path, out: str = "") -> Recorded:
    said = json.loads(path.read_text())
    return Recorded(
        [(position, trace, thread, bytes.fromhex(data)) for position, trace, thread, data in said["slices"]],
        definitions.decode(bytes.fromhex(said["definitions"])),
        said["status"],
        [(a, b) for a, b in said["losses"]],
        said["uid"],
        said["pid"],
        said["ended"],
        out,
    )


def execute(
    tmp_path: Path, text: str, level: int, environment: Mapping[str, str] | None = None, **options: Any
) -> subprocess.CompletedProcess[str]:
    """Runs a program, at no level or at one; its ring goes to `ring.json`."""
    program, aside, target = tmp_path / "app" / "program.py", tmp_path / "aside", tmp_path / "ring.json"
    program.parent.mkdir(exist_ok=True)
    aside.mkdir(exist_ok=True)
    program.write_text(text)
    (aside / "ringdump.py").write_text(RINGDUMP)
    (aside / "driver.py").write_text(DRIVER)
    settings = {"ring_bytes": 8 << 20, "defs_bytes": 1 << 20, "roots": [f"{program.parent}/"], "libraries": []}
    command = [sys.executable, aside / "driver.py", aside, program, str(level), json.dumps(settings | options), target]
    return subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, **(environment or {})}, timeout=120, check=False
    )


def run(
    tmp_path: Path,
    text: str,
    level: int = 2,
    *,
    environment: Mapping[str, str] | None = None,
    **options: Any,
) -> Recorded:
    """Runs a program under the recorder; the program may import `ringdump` and `_native`. Its stdout is `out`."""
    done = execute(tmp_path, text, level, environment, **options)
    assert done.returncode == 0, done.stderr
    return load(tmp_path / "ring.json", done.stdout)


def bare(tmp_path: Path, text: str) -> str:
    """What the program says when nothing records it."""
    done = execute(tmp_path, text, BARE)
    assert done.returncode == 0, done.stderr
    return done.stdout


def plain(value: Value) -> Any:
    """Scalars, tuples, lists and dicts as Python's; anything else by its type's name in angle brackets."""
    if value.kind is ValueKind.SCALAR and value.missing is None:
        return value.scalar
    if value.kind is ValueKind.SEQUENCE and value.missing is None and value.type in {"list", "tuple"}:
        return [plain(item) for item in value.items]
    if value.kind is ValueKind.MAPPING and value.missing is None:
        return {plain(key): plain(item) for key, item in value.entries}
    if value.missing is Missing.DEPTH:
        return f"<{value.type}, deeper>"
    return f"<{value.type or value.kind}>"


@dataclass
class Activation:
    """A frame, as far as the records tell."""

    number: int
    code: definitions.CodeDefinition
    parent: int
    names: dict[str, Any] = field(default_factory=dict)
    whole: bool = False  # its values are all known: a START or a FRAME was read


@dataclass(frozen=True)
class Step:
    """A record of a frame: where it stands, and what it holds then."""

    kind: str
    function: str
    line: int  # 0: not told
    names: dict[str, Any]
    activation: int
    parent: int
    value: Any = None
    thread: int = 0
    trace: str | None = None


ARGUMENT = 8  # a name's flag


class Machine:
    """Reads records in order. A record of a frame of which nothing is known fails the test."""

    def __init__(self, recorded: Recorded) -> None:
        self.recorded = recorded
        self.frames: dict[int, Activation] = {}
        self.steps: list[Step] = []
        self.awaited: set[int] = set()  # resumed, and not known yet: their FRAME follows
        told: dict[str | None, Any] = defaultdict(dict)
        for _, trace, thread, data in recorded.slices:
            for record in records.decode(data, base_ticks=0, told=told[trace]):
                self._read(record, thread, trace)
        assert not self.awaited

    def _read(self, record: Any, thread: int, trace: str | None) -> None:
        kind = type(record).__name__
        if isinstance(record, records.Start | records.FrameState):
            frame = Activation(record.activation, self.recorded.code(record.code), record.parent, whole=True)
            if isinstance(record, records.Start):
                assert record.activation not in self.frames, "an activation began twice"
            self.frames[record.activation] = frame
            self.awaited.discard(record.activation)
            self._write(frame, record.slots)
            line = frame.code.first_line if isinstance(record, records.Start) else self._line(frame, record.lasti)
        elif isinstance(record, records.GapRecord):
            self.steps.append(Step("Gap", "", 0, {}, 0, 0, record.detail, thread, trace))
            return
        elif not hasattr(record, "activation"):
            return
        elif isinstance(record, records.Resume | records.Throw) and record.activation not in self.frames:
            self.awaited.add(record.activation)
            return
        else:
            frame = self.frames[record.activation]
            self._write(frame, getattr(record, "slots", ()))
            line = self._line_of(frame, record)
        if isinstance(record, records.Resume | records.Throw):
            frame.parent = record.parent
        value = plain(record.value) if hasattr(record, "value") else None
        self.steps.append(
            Step(kind, frame.code.qualname, line, dict(frame.names), frame.number, frame.parent, value, thread, trace)
        )

    def _line_of(self, frame: Activation, record: Any) -> int:
        if isinstance(record, records.Line):
            return frame.code.first_line + record.line
        return self._line(frame, record.lasti) if hasattr(record, "lasti") else 0

    @staticmethod
    def _line(frame: Activation, lasti: int) -> int:
        return linetable.lines(frame.code.linetable, frame.code.first_line).get(lasti, 0)

    @staticmethod
    def _write(frame: Activation, slots: records.Slots) -> None:
        for slot, value in slots:
            if slot == records.OTHERS:
                for name in [name for name, flags in frame.code.names if not flags & ARGUMENT]:
                    frame.names.pop(name, None)
                continue
            name = frame.code.names[slot][0]
            if value.kind is ValueKind.UNBOUND:
                frame.names.pop(name, None)
            else:
                frame.names[name] = plain(value)


def steps(recorded: Recorded, function: str = "", kind: str = "") -> list[Step]:
    """What a plain reader sees, of one function (qualified name) or of all."""
    found = Machine(recorded).steps
    return [one for one in found if (not function or one.function == function) and (not kind or one.kind == kind)]
