"""What the records of one process say of its frames, read by the format alone, and whether it can be true."""

from __future__ import annotations

import json
import struct
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from taking import Process

from aftertrace.wire import definitions, recording, records

DOUBTFUL = {2, 5, 6}  # reasons of GAPs that say that something was lost, or did not add up
DEPTH = 8


@dataclass
class Life:
    """One activation."""

    name: str
    parent: int
    thread: int
    state: str = "running"  # suspended, ended
    begun: bool = False  # by a START


class Story:
    """Reads the records in the ring's order. What cannot be goes to ``problems``."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self.defined = definitions.decode(process.definitions)
        self.lives: dict[int, Life] = {}
        self.problems: list[str] = []
        self.spans: dict[str, list[str]] = {}  # id -> name, trace, "ended"
        self.kinds: Counter[str] = Counter()
        self.names: Counter[str] = Counter()  # of the functions that started
        self.early: set[int] = set()  # suspended, and have called something: what comes next of them must go on
        self._saws: list[str] = []
        for _, trace, thread, data in process.slices:
            for record in records.decode(data, base_ticks=0):
                self._read(record, trace, thread)

    # -- reading

    def _read(self, record: records.Record, trace: str, thread: int) -> None:
        self.kinds[type(record).__name__] += 1
        match record:
            case records.Start():
                self._start(record, trace, thread)
            case records.FrameState():
                self._frame(record, thread)
            case records.Resume() | records.Throw():
                self._resume(record, thread)
            case records.Return() | records.Unwind():
                self._goes_on(record.activation, record, thread, "ended")
            case records.Yield():
                self._goes_on(record.activation, record, thread, "suspended")
            case records.Line() | records.Raise() | records.Reraise() | records.Handled():
                self._goes_on(record.activation, record, thread, "running")
            case records.GapRecord():
                if record.reason in DOUBTFUL:
                    self.problems.append(f"gap {record.reason}: {record.detail}")
            case records.SpanStart():
                self.spans[record.span_id] = [record.name, record.trace_id]
            case records.SpanEnd():
                self._span_end(record.span_id)

    def _start(self, record: records.Start, trace: str, thread: int) -> None:
        name = self.defined.codes[record.code].qualname
        if record.activation in self.lives:
            self.problems.append(f"{name} {record.activation} begins twice")
        self.lives[record.activation] = Life(name, record.parent, thread, begun=True)
        self.names[name] += 1
        self._stands_on(record.activation, record.parent, thread)
        if name == "saw":
            self._saw(record, trace)

    def _saw(self, record: records.Start, trace: str) -> None:
        tag, callers, _ = (value.scalar for _, value in record.slots)
        chain = self.chain(self.lives[record.activation].parent)[1:]  # the helper's own frame
        told = "<".join(chain) if len(str(callers)) < 256 else callers
        self._saws.append(f"{tag}|{told}|{trace.lstrip('0')}")

    def chain(self, activation: int) -> list[str]:
        """Names of the frames that are on the stack, innermost first."""
        found = []
        while activation in self.lives and len(found) <= DEPTH:
            found.append(self.lives[activation].name)
            activation = self.lives[activation].parent
        return found

    def _frame(self, record: records.FrameState, thread: int) -> None:
        life = self.lives.get(record.activation)
        if life is None:
            name = self.defined.codes[record.code].qualname
            self.lives[record.activation] = Life(name, record.parent, thread)
        elif life.state == "ended":
            self.problems.append(f"{life.name} {record.activation} has a FRAME after its end")

    def _resume(self, record: records.Resume | records.Throw, thread: int) -> None:
        life = self.lives.get(record.activation)
        if life is None:
            return  # its FRAME follows
        if life.state == "ended":
            self.problems.append(f"{life.name} {record.activation} is resumed after its end")
        self.early.discard(record.activation)
        life.state, life.parent, life.thread = "running", record.parent, thread
        if isinstance(record, records.Resume):  # throw() goes to the innermost at once, through those that wait for it
            self._stands_on(record.activation, record.parent, thread)

    def _stands_on(self, activation: int, parent: int, thread: int) -> None:
        above = self.lives.get(parent)
        if parent and above is None:
            self.problems.append(f"{self.lives[activation].name} has a caller that is not told")
        elif above and above.state == "suspended":  # a signal's handler runs before the interpreter tells of the resume
            self.early.add(parent)
        elif above and (above.state != "running" or above.thread != thread):
            self.problems.append(f"{self.lives[activation].name} is called by {above.name}, which is {above.state}")

    def _goes_on(self, activation: int, record: records.Record, thread: int, state: str) -> None:
        kind, life = type(record).__name__, self.lives.get(activation)
        if life is None:
            self.problems.append(f"{kind} of a frame that is not told")
            return
        if activation in self.early:  # the handler raised
            self.early.discard(activation)
            life.state, life.thread = "running", thread
        if life.state != "running" or life.thread != thread:
            self.problems.append(f"{kind} of {life.name} {activation}, which is {life.state} in {life.thread}")
        life.state = state

    def _span_end(self, span_id: str) -> None:
        span = self.spans.get(span_id)
        if span is None or span[-1] == "ended":
            self.problems.append(f"span {span} ends without a start, or twice")
        else:
            span.append("ended")

    # -- answers

    def check(self) -> None:
        assert self.problems == []
        assert not self.early, [self.lives[one].name for one in self.early]
        assert not self.process.in_order or not self.running(), self.running()

    def witnessed(self) -> list[str]:
        """tag|callers|trace of each call of the witness, as the recording tells it."""
        return self._saws

    def running(self) -> list[str]:
        """Frames of the main thread that began, and are told to run still. A forked worker of multiprocessing's leaves
        its parent's frames standing."""
        lives = self.lives.values()
        return [one.name for one in lives if one.begun and one.state == "running" and one.thread == self.pid]

    def traces(self) -> set[str]:
        return {trace for _, trace, _, _ in self.process.slices if trace}

    @cached_property
    def pid(self) -> int:
        return self.process.ring.pid

    def recording(self, trace: str) -> bytes:
        """What the agent would keep of a trace, as a file."""
        ring = self.process.ring
        meta = {
            "trace_id": trace,
            "process_uid": ring.process_uid,
            "pid": ring.pid,
            "service": ring.service,
            "resource": ring.resource,
            "python": "",
            "level": ring.level,
            "triggers": [],
            "part": 0,
        }
        return recording.write_sections(self._sections(trace, meta))

    def _sections(self, trace: str, meta: dict[str, object]) -> Iterator[tuple[int, bytes]]:
        yield recording.META, json.dumps(meta).encode()
        yield recording.DEFINITIONS, self.process.definitions
        yield recording.CLOCK, b"".join(struct.pack("<5Q", *sample) for sample in self.process.clocks)
        for position, owner, _, data in self.process.slices:
            if owner == trace:
                yield recording.SLICE, struct.pack("<Q", position) + data
