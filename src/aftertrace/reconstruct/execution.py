"""One request as a steppable execution: what reconstruct makes, and explain and show read.

``steps`` is the one order over all processes: within a process the ring's order; across them corrected time, never
against cause (a server's steps lie between the start and the end of the client span that called it).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from aftertrace.model import Keep, LogRecord, Resource, Source, Span, Value


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
    address: str = ""  # stable: "<process uid, 8 digits>.<activation>.<n-th record of the activation>"


@dataclass(frozen=True, slots=True)
class Process:
    uid: str
    pid: int
    resource: Resource
    level: str  # spans, calls, lines
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
class Binding:
    """What a name held at a step, and the step that wrote it."""

    name: str
    value: Value
    written_at: int  # step index at which it became visible
    line: int  # the line that wrote it: previous LINE of the activation, or the call for an argument


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
    _history: dict[tuple[int, int, str], list[Binding]] = field(default_factory=dict, repr=False)

    def frame(self, step: Step) -> Frame | None:
        """The frame that a step belongs to."""
        return self.frames.get((step.process, step.activation))

    def history(self, frame: Frame, name: str) -> Sequence[Binding]:
        """Every value that a name held in a frame, in order."""
        return self._history.get((frame.process, frame.activation, name), ())
