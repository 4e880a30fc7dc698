"""One dataclass for each kind of record (docs/format.md, "Record"); `wire.records` reads and writes them.

``ticks`` is absolute: for kinds without a stamp of their own (FRAME, LINE, SPAN_ATTR ...) that of the record before.
``offset`` is where the record begins in the bytes that were decoded. Ids are lower-case hex, "" for none.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import ClassVar

from aftertrace.model import Value

type Slots = tuple[tuple[int, Value], ...]  # (index into the code's names, value)
OTHERS = 0xFFFF  # instead of an index: all names but those of arguments
type Attrs = tuple[tuple[str, Value], ...]


class Kind(IntEnum):
    """As in the format."""

    SEGMENT = 1
    FRAME = 2
    START = 3
    LINE = 4
    RETURN = 5
    YIELD = 6
    RESUME = 7
    THROW = 8
    RAISE = 9
    RERAISE = 10
    HANDLED = 11
    UNWIND = 12
    SPAN_START = 13
    SPAN_ATTR = 14
    SPAN_EVENT = 15
    SPAN_LINK = 16
    SPAN_STATUS = 17
    SPAN_NAME = 18
    SPAN_END = 19
    LOG = 20
    KEEP = 21
    GAP = 22


@dataclass(frozen=True, slots=True)
class Record:
    """What all have."""

    kind: ClassVar[Kind]
    ticks: int
    offset: int


@dataclass(frozen=True, slots=True)
class Segment(Record):
    kind = Kind.SEGMENT
    flags: int  # 1: in a trace; 2: keyframe; 4: made by the reader, continues the slice before it
    thread: int
    trace_id: str = ""
    span_id: str = ""


@dataclass(frozen=True, slots=True)
class FrameState(Record):
    kind = Kind.FRAME
    activation: int
    code: int
    parent: int
    lasti: int
    slots: Slots = ()


@dataclass(frozen=True, slots=True)
class Start(Record):
    kind = Kind.START
    activation: int
    code: int
    parent: int
    call_site: int  # lasti in the caller, -1: unknown
    slots: Slots = ()


@dataclass(frozen=True, slots=True)
class Line(Record):
    kind = Kind.LINE
    activation: int
    line: int  # minus the first line of the code
    slots: Slots = ()


@dataclass(frozen=True, slots=True)
class Return(Record):
    kind = Kind.RETURN
    activation: int
    lasti: int
    value: Value
    slots: Slots = ()


@dataclass(frozen=True, slots=True)
class Yield(Record):
    kind = Kind.YIELD
    activation: int
    lasti: int
    value: Value
    slots: Slots = ()


@dataclass(frozen=True, slots=True)
class Resume(Record):
    kind = Kind.RESUME
    activation: int
    parent: int


@dataclass(frozen=True, slots=True)
class Throw(Record):
    kind = Kind.THROW
    activation: int
    parent: int
    exception: int
    value: Value


@dataclass(frozen=True, slots=True)
class Raise(Record):
    kind = Kind.RAISE
    activation: int
    lasti: int
    exception: int
    value: Value


@dataclass(frozen=True, slots=True)
class Reraise(Record):
    kind = Kind.RERAISE
    activation: int
    lasti: int
    exception: int


@dataclass(frozen=True, slots=True)
class Handled(Record):
    kind = Kind.HANDLED
    activation: int
    lasti: int
    exception: int


@dataclass(frozen=True, slots=True)
class Unwind(Record):
    kind = Kind.UNWIND
    activation: int
    lasti: int
    exception: int
    slots: Slots = ()


@dataclass(frozen=True, slots=True)
class SpanStart(Record):
    kind = Kind.SPAN_START
    span_id: str
    trace_id: str
    parent_id: str
    span_kind: int  # OTLP numbers
    trace_flags: int
    remote: bool  # the parent is another process's
    start_ns: int  # given by the program, 0: ticks
    name: str
    scope: str = ""
    attributes: Attrs = ()
    links: tuple[tuple[str, str, Attrs], ...] = ()


@dataclass(frozen=True, slots=True)
class SpanAttr(Record):
    kind = Kind.SPAN_ATTR
    span_id: str
    attributes: Attrs = ()


@dataclass(frozen=True, slots=True)
class SpanEventRecord(Record):
    kind = Kind.SPAN_EVENT
    span_id: str
    time_ns: int  # 0: ticks
    name: str
    attributes: Attrs = ()


@dataclass(frozen=True, slots=True)
class SpanLinkRecord(Record):
    kind = Kind.SPAN_LINK
    span_id: str
    linked_trace_id: str
    linked_span_id: str
    attributes: Attrs = ()


@dataclass(frozen=True, slots=True)
class SpanStatus(Record):
    kind = Kind.SPAN_STATUS
    span_id: str
    code: int
    description: str = ""


@dataclass(frozen=True, slots=True)
class SpanName(Record):
    kind = Kind.SPAN_NAME
    span_id: str
    name: str


@dataclass(frozen=True, slots=True)
class SpanEnd(Record):
    kind = Kind.SPAN_END
    span_id: str
    end_ns: int = 0  # 0: ticks


@dataclass(frozen=True, slots=True)
class Log(Record):
    kind = Kind.LOG
    severity: int
    logger: str
    message: Value
    arguments: Value
    file: str
    line: int
    function: str
    exception: Value


@dataclass(frozen=True, slots=True)
class KeepRecord(Record):
    kind = Kind.KEEP
    reason: str
    attributes: Attrs = ()


@dataclass(frozen=True, slots=True)
class GapRecord(Record):
    kind = Kind.GAP
    reason: int
    count: int
    detail: str = ""
