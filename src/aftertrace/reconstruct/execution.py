"""One request as a steppable execution: what reconstruct makes, and explain and show read.

``steps`` is the one order over all processes: within a process the ring's order; across them corrected time, never
against cause (a server's steps lie between the start and the end of the client span that called it).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from operator import attrgetter
from typing import Literal

from aftertrace.errors import NotFound
from aftertrace.model import Keep, LogRecord, Resource, Source, Span, Value, ValueKind
from aftertrace.wire.bundle import Coverage

_written_at = attrgetter("written_at")


class StepKind(StrEnum):
    START = "start"
    LINE = "line"  # the line is about to run; what it writes is visible at the next step of its frame
    RETURN = "return"
    YIELD = "yield"
    RESUME = "resume"
    THROW = "throw"
    RAISE = "raise"
    RERAISE = "reraise"
    HANDLED = "handled"
    UNWIND = "unwind"
    SPAN_START = "span_start"
    SPAN_END = "span_end"
    LOG = "log"
    KEEP = "keep"
    GAP = "gap"


@dataclass(frozen=True, slots=True)
class Code:
    """A code object of one process, from its definitions."""

    id: int
    path: str
    name: str
    qualname: str
    first_line: int
    flags: int
    names: tuple[str, ...]
    arguments: tuple[str, ...]
    lines: Mapping[int, int]  # lasti -> line
    table: bytes = b""  # CPython's line table: wire.linetable.places() gives columns too


@dataclass(frozen=True, slots=True)
class Write:
    """A value that became visible in a frame: by assignment, or by being passed, or seen changed in place."""

    name: str
    value: Value


@dataclass(slots=True)
class Frame:
    """One activation of a code object."""

    process: int  # index into Execution.processes
    activation: int
    code: Code
    parent: int  # activation of the caller among recorded frames, 0: none
    call_line: int  # line in the parent, 0: unknown
    span_id: str  # current span at its start, "" outside
    thread: int
    first_step: int = -1  # index into Execution.steps
    last_step: int = -1
    complete: bool = True  # its START was recorded
    level: str = "lines"  # lines, calls, mixed: lines of a part of it only
    cause: str = ""  # why not lines: one of wire.definitions.CAUSES, or level: its process's; "" not known
    since_ns: int = 0  # of its code, corrected; 0: not known


@dataclass(frozen=True, slots=True)
class Step:
    index: int  # position in Execution.steps
    process: int
    kind: StepKind
    activation: int  # 0: no user frame (span, log, gap outside user code)
    line: int  # current line of that frame, 0: unknown
    time_ns: int  # corrected; interpolated between stamps for LINE
    span_id: str
    thread: int
    writes: tuple[Write, ...] = ()  # visible from this step on
    value: Value | None = None  # returned, yielded, raised; a log's message
    text: str = ""  # span name, log text, keep reason, gap detail
    exception: int = 0  # identity of the exception, for RAISE .. UNWIND
    lasti: int = -1  # instruction, in code units, of RETURN, YIELD, RAISE .. UNWIND; -1: not recorded
    unseen: bool = False  # since the frame's step before, lines of it may have run that were not recorded
    address: str = ""  # stable: "<process uid, 8 digits>.<activation>.<n-th record of the activation>"


@dataclass(frozen=True, slots=True)
class Process:
    uid: str
    pid: int
    resource: Resource
    level: str  # spans, calls, lines, auto
    codes: Mapping[int, Code]
    skew_ns: int = 0  # added to its clock to bring it into the trace's order

    @property
    def service(self) -> str:
        return self.resource.service


@dataclass(frozen=True, slots=True)
class Gap:
    """Something that was not recorded, and why; ``process`` -1: of the trace as a whole."""

    process: int
    reason: str
    detail: str
    after_step: int = -1


@dataclass(frozen=True, slots=True)
class Shed:
    """What a process did not record, at some moment of the request, to stay within its budget: a function's calls, or
    events of exceptions in all its code."""

    process: int
    what: Literal["function", "exceptions"]
    function: str  # "" of exceptions
    path: str  # "" not known
    line: int  # of the def, 0: not known
    level: int  # of exceptions: 2 without their handling, 1 only where they end a frame, 0 none
    partly: bool  # some of its calls are recorded
    cause: str  # of wire.definitions.CAUSES, "" not known
    since_ns: int  # corrected, 0: not known


@dataclass(frozen=True, slots=True)
class Binding:
    """What a name held at a step, and the step that wrote it."""

    name: str
    value: Value
    written_at: int  # step index at which it became visible
    line: int  # the line that wrote it: previous LINE of the activation, the def for an argument; 0: unknown


@dataclass(frozen=True, slots=True)
class Entered:
    """A frame began to run: by its START, or again by a RESUME or THROW, which may have another caller."""

    step: int
    parent: int  # activation of the caller, 0: none
    call_line: int  # line in the caller, 0: unknown
    call_site: int = -1  # instruction in the caller, in code units; -1: not recorded


@dataclass(slots=True)
class Execution:
    trace_id: str
    spans: Mapping[str, Span]  # by span id, in start order
    processes: Sequence[Process]
    frames: Mapping[tuple[int, int], Frame]  # (process, activation)
    steps: Sequence[Step]
    logs: Sequence[LogRecord]
    sources: Mapping[tuple[int, str], Source]  # (process, path)
    keeps: Sequence[Keep]
    gaps: Sequence[Gap]
    shed: Sequence[Shed] = ()
    coverage: Coverage | None = None  # what agents had of it; None: none was asked
    _history: dict[tuple[int, int, str], list[Binding]] = field(default_factory=dict, repr=False)
    _frame_steps: dict[tuple[int, int], list[int]] = field(default_factory=dict, repr=False)
    _entered: dict[tuple[int, int], list[Entered]] = field(default_factory=dict, repr=False)
    _addresses: dict[str, int] = field(default_factory=dict, repr=False)

    def remember(
        self,
        history: dict[tuple[int, int, str], list[Binding]],
        steps: dict[tuple[int, int], list[int]],
        entered: dict[tuple[int, int], list[Entered]],
        addresses: dict[str, int],
    ) -> None:
        """For build(): what names held, and the steps and beginnings of each frame, each in order."""
        self._history, self._frame_steps, self._entered, self._addresses = history, steps, entered, addresses

    def frame(self, step: Step) -> Frame | None:
        """The frame that a step belongs to."""
        return self.frames.get((step.process, step.activation))

    def history(self, frame: Frame, name: str) -> Sequence[Binding]:
        """Every value that a name held in a frame, in order; UNBOUND where it was deleted."""
        return self._history.get((frame.process, frame.activation, name), ())

    def locals_at(self, frame: Frame, step: int) -> dict[str, Binding]:
        """What each bound name of a frame held when a step (an index) was reached, in the code's order of names."""
        found: dict[str, Binding] = {}
        for name in frame.code.names:
            history = self._history.get((frame.process, frame.activation, name))
            at = bisect_right(history, step, key=_written_at) if history else 0
            if history and at and (binding := history[at - 1]).value.kind is not ValueKind.UNBOUND:
                found[name] = binding
        return found

    def steps_of(self, frame: Frame) -> Sequence[int]:
        """Indexes of a frame's steps, in order."""
        return self._frame_steps.get((frame.process, frame.activation), ())

    def line_at(self, frame: Frame, step: int) -> int:
        """The line at which a frame stood when a step was reached, 0: unknown."""
        own = self.steps_of(frame)
        at = bisect_right(own, step)
        return self.steps[own[at - 1]].line if at else 0

    def entered_at(self, frame: Frame, step: int) -> Entered | None:
        """How a frame came to run what it was running when a step was reached."""
        entered = self._entered.get((frame.process, frame.activation), ())
        at = bisect_right(entered, step, key=lambda one: one.step)
        return entered[at - 1] if at else None

    def caller_at(self, frame: Frame, step: int) -> Frame | None:
        """The recorded frame of the same process that had called, or resumed, a frame at a step."""
        entered = self.entered_at(frame, step)
        parent = entered.parent if entered else frame.parent
        found = self.frames.get((frame.process, parent)) if parent else None
        return None if found is frame else found

    def at_address(self, address: str) -> Step:
        """The step with an address. NotFound."""
        index = self._addresses.get(address)
        if index is None:
            hint = "An address looks like 1f2e3d4c.12.3; `step` shows them, and `why --json` gives them."
            raise NotFound("no-such-step", f"No step of this request has the address {address!r}.", hint)
        return self.steps[index]
