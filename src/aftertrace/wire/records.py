"""The records of a ring or a recording: bytes <-> one dataclass per kind (docs/format.md, "Record")."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from aftertrace.wire import values
from aftertrace.wire.kinds import (
    OTHERS,
    Attrs,
    FrameState,
    GapRecord,
    Handled,
    KeepRecord,
    Kind,
    Line,
    Log,
    Raise,
    Record,
    Reraise,
    Resume,
    Return,
    Segment,
    Slots,
    SpanAttr,
    SpanEnd,
    SpanEventRecord,
    SpanLinkRecord,
    SpanName,
    SpanStart,
    SpanStatus,
    Start,
    Throw,
    Unwind,
    Yield,
)
from aftertrace.wire.primitives import Reader, broken, svarint, text, u64, varint

__all__ = [
    "OTHERS",
    "Attrs",
    "FrameState",
    "GapRecord",
    "Handled",
    "KeepRecord",
    "Kind",
    "Line",
    "Log",
    "Raise",
    "Record",
    "Reraise",
    "Resume",
    "Return",
    "Segment",
    "Slots",
    "SpanAttr",
    "SpanEnd",
    "SpanEventRecord",
    "SpanLinkRecord",
    "SpanName",
    "SpanStart",
    "SpanStatus",
    "Start",
    "Throw",
    "Unwind",
    "Yield",
    "decode",
    "encode",
]

_NO_SPAN = "0" * 16

# -- reading


def decode(data: bytes, *, base_ticks: int, told: values.Told | None = None) -> Iterator[Record]:
    """The records, unknown kinds left out; ``base_ticks``: of the last stamp before them. BadRecording at a broken one.
    ``told``: what records before these told of objects, which these may refer to; it is carried on. None: left open.

    Kind 0 is the padding at the end of a sub-buffer: what follows it is not read.
    """
    at, end, ticks = 0, len(data), base_ticks
    while at < end and data[at]:
        if at + 3 > end:
            raise broken("it ends within a record's head")
        body = at + 3
        behind = body + int.from_bytes(data[at + 1 : body], "little")
        if behind > end:
            raise broken("it ends within a record")
        known = _KINDS.get(data[at])
        if known is not None:
            read, stamped = known
            reader = Reader(data, body, behind, told)
            if stamped:
                ticks = reader.u64() if data[at] == Kind.SEGMENT else ticks + reader.varint()
            yield read(reader, ticks, at)
        at = behind


def _slots(reader: Reader) -> Slots:
    return tuple([(reader.varint(), values.read(reader)) for _ in range(reader.count(2))])


def _attrs(reader: Reader) -> Attrs:
    return tuple([(reader.text(), values.read(reader)) for _ in range(reader.count(2))])


def _segment(r: Reader, ticks: int, at: int) -> Record:
    flags, thread = r.u8(), r.varint()
    if not flags & 1:
        return Segment(ticks, at, flags, thread)
    return Segment(ticks, at, flags, thread, r.hex(16), r.hex(8))


def _frame(r: Reader, ticks: int, at: int) -> Record:
    return FrameState(ticks, at, r.varint(), r.varint(), r.varint(), r.varint(), _slots(r))


def _start(r: Reader, ticks: int, at: int) -> Record:
    return Start(ticks, at, r.varint(), r.varint(), r.varint(), r.varint() - 1, _slots(r))


def _line(r: Reader, ticks: int, at: int) -> Record:
    return Line(ticks, at, r.varint(), r.svarint(), _slots(r))


def _return(r: Reader, ticks: int, at: int) -> Record:
    return Return(ticks, at, r.varint(), r.varint(), values.read(r), _slots(r))


def _yield(r: Reader, ticks: int, at: int) -> Record:
    return Yield(ticks, at, r.varint(), r.varint(), values.read(r), _slots(r))


def _resume(r: Reader, ticks: int, at: int) -> Record:
    return Resume(ticks, at, r.varint(), r.varint())


def _throw(r: Reader, ticks: int, at: int) -> Record:
    return Throw(ticks, at, r.varint(), r.varint(), r.varint(), values.read(r))


def _raise(r: Reader, ticks: int, at: int) -> Record:
    return Raise(ticks, at, r.varint(), r.varint(), r.varint(), values.read(r))


def _reraise(r: Reader, ticks: int, at: int) -> Record:
    return Reraise(ticks, at, r.varint(), r.varint(), r.varint())


def _handled(r: Reader, ticks: int, at: int) -> Record:
    return Handled(ticks, at, r.varint(), r.varint(), r.varint())


def _unwind(r: Reader, ticks: int, at: int) -> Record:
    return Unwind(ticks, at, r.varint(), r.varint(), r.varint(), _slots(r))


def _span_start(r: Reader, ticks: int, at: int) -> Record:
    span, trace, parent = r.hex(8), r.hex(16), r.hex(8)
    kind, flags, remote, start = r.u8(), r.u8(), bool(r.u8()), r.varint()
    name, scope, attributes = r.text(), r.text(), _attrs(r)
    links = tuple([(r.hex(16), r.hex(8), _attrs(r)) for _ in range(r.count(25))])
    parent = "" if parent == _NO_SPAN else parent
    return SpanStart(ticks, at, span, trace, parent, kind, flags, remote, start, name, scope, attributes, links)


def _span_attr(r: Reader, ticks: int, at: int) -> Record:
    return SpanAttr(ticks, at, r.hex(8), _attrs(r))


def _span_event(r: Reader, ticks: int, at: int) -> Record:
    return SpanEventRecord(ticks, at, r.hex(8), r.varint(), r.text(), _attrs(r))


def _span_link(r: Reader, ticks: int, at: int) -> Record:
    return SpanLinkRecord(ticks, at, r.hex(8), r.hex(16), r.hex(8), _attrs(r))


def _span_status(r: Reader, ticks: int, at: int) -> Record:
    return SpanStatus(ticks, at, r.hex(8), r.u8(), r.text())


def _span_name(r: Reader, ticks: int, at: int) -> Record:
    return SpanName(ticks, at, r.hex(8), r.text())


def _span_end(r: Reader, ticks: int, at: int) -> Record:
    return SpanEnd(ticks, at, r.hex(8), r.varint())


def _log(r: Reader, ticks: int, at: int) -> Record:
    severity, logger, message, arguments = r.varint(), r.text(), values.read(r), values.read(r)
    return Log(ticks, at, severity, logger, message, arguments, r.text(), r.varint(), r.text(), values.read(r))


def _keep(r: Reader, ticks: int, at: int) -> Record:
    return KeepRecord(ticks, at, r.text(), _attrs(r))


def _gap(r: Reader, ticks: int, at: int) -> Record:
    return GapRecord(ticks, at, r.u8(), r.varint(), r.text())


_KINDS: dict[int, tuple[Callable[[Reader, int, int], Record], bool]] = {  # reader, stamped
    Kind.SEGMENT: (_segment, True),
    Kind.FRAME: (_frame, False),
    Kind.START: (_start, True),
    Kind.LINE: (_line, False),
    Kind.RETURN: (_return, True),
    Kind.YIELD: (_yield, True),
    Kind.RESUME: (_resume, True),
    Kind.THROW: (_throw, True),
    Kind.RAISE: (_raise, True),
    Kind.RERAISE: (_reraise, True),
    Kind.HANDLED: (_handled, True),
    Kind.UNWIND: (_unwind, True),
    Kind.SPAN_START: (_span_start, True),
    Kind.SPAN_ATTR: (_span_attr, False),
    Kind.SPAN_EVENT: (_span_event, True),
    Kind.SPAN_LINK: (_span_link, False),
    Kind.SPAN_STATUS: (_span_status, False),
    Kind.SPAN_NAME: (_span_name, False),
    Kind.SPAN_END: (_span_end, True),
    Kind.LOG: (_log, True),
    Kind.KEEP: (_keep, True),
    Kind.GAP: (_gap, True),
}

# -- writing


def encode(record: Record, last_ticks: int) -> bytes:
    """One record; ``last_ticks``: of the last stamp before it. Its ``offset`` is not written."""
    stamped = _KINDS[record.kind][1]
    head = u64(record.ticks) if isinstance(record, Segment) else varint(max(record.ticks - last_ticks, 0))
    body = (head if stamped else b"") + _body(record)
    return bytes([record.kind]) + len(body).to_bytes(2, "little") + body


def _put_slots(slots: Slots) -> bytes:
    return varint(len(slots)) + b"".join(varint(slot) + values.encode(value) for slot, value in slots)


def _put_attrs(attributes: Attrs) -> bytes:
    return varint(len(attributes)) + b"".join(text(name) + values.encode(value) for name, value in attributes)


def _numbers(*numbers: int) -> bytes:
    return b"".join(map(varint, numbers))


def _body(record: Record) -> bytes:
    match record:
        case Segment(flags=flags, thread=thread, trace_id=trace, span_id=span):
            return bytes([flags]) + varint(thread) + (bytes.fromhex(trace) + bytes.fromhex(span) if flags & 1 else b"")
        case FrameState(activation=act, code=code, parent=parent, lasti=lasti, slots=slots):
            return _numbers(act, code, parent, lasti) + _put_slots(slots)
        case Start(activation=act, code=code, parent=parent, call_site=site, slots=slots):
            return _numbers(act, code, parent, site + 1) + _put_slots(slots)
        case Line(activation=act, line=line, slots=slots):
            return varint(act) + svarint(line) + _put_slots(slots)
        case Return(activation=act, lasti=lasti, value=value, slots=slots):
            return _numbers(act, lasti) + values.encode(value) + _put_slots(slots)
        case Yield(activation=act, lasti=lasti, value=value, slots=slots):
            return _numbers(act, lasti) + values.encode(value) + _put_slots(slots)
        case Resume(activation=act, parent=parent):
            return _numbers(act, parent)
        case _:
            return _exception_body(record)


def _exception_body(record: Record) -> bytes:
    match record:
        case Throw(activation=act, parent=parent, exception=exc, value=value):
            return _numbers(act, parent, exc) + values.encode(value)
        case Raise(activation=act, lasti=lasti, exception=exc, value=value):
            return _numbers(act, lasti, exc) + values.encode(value)
        case Reraise(activation=act, lasti=lasti, exception=exc) | Handled(activation=act, lasti=lasti, exception=exc):
            return _numbers(act, lasti, exc)
        case Unwind(activation=act, lasti=lasti, exception=exc, slots=slots):
            return _numbers(act, lasti, exc) + _put_slots(slots)
        case _:
            return _span_body(record)


def _span_body(record: Record) -> bytes:
    match record:
        case SpanStart():
            ids = bytes.fromhex(record.span_id + record.trace_id + (record.parent_id or _NO_SPAN))
            small = bytes([record.span_kind, record.trace_flags, record.remote]) + varint(record.start_ns)
            links = b"".join(bytes.fromhex(t + s) + _put_attrs(attributes) for t, s, attributes in record.links)
            names = text(record.name) + text(record.scope) + _put_attrs(record.attributes)
            return ids + small + names + varint(len(record.links)) + links
        case SpanAttr(span_id=span, attributes=attributes):
            return bytes.fromhex(span) + _put_attrs(attributes)
        case SpanEventRecord(span_id=span, time_ns=time, name=name, attributes=attributes):
            return bytes.fromhex(span) + varint(time) + text(name) + _put_attrs(attributes)
        case SpanLinkRecord():
            ids = bytes.fromhex(record.span_id + record.linked_trace_id + record.linked_span_id)
            return ids + _put_attrs(record.attributes)
        case SpanStatus(span_id=span, code=code, description=description):
            return bytes.fromhex(span) + bytes([code]) + text(description)
        case SpanName(span_id=span, name=name):
            return bytes.fromhex(span) + text(name)
        case SpanEnd(span_id=span, end_ns=end):
            return bytes.fromhex(span) + varint(end)
        case _:
            return _other_body(record)


def _other_body(record: Record) -> bytes:
    match record:
        case Log():
            said = varint(record.severity) + text(record.logger) + values.encode(record.message)
            place = text(record.file) + varint(record.line) + text(record.function)
            return said + values.encode(record.arguments) + place + values.encode(record.exception)
        case KeepRecord(reason=why, attributes=attributes):
            return text(why) + _put_attrs(attributes)
        case GapRecord(reason=reason, count=count, detail=detail):
            return bytes([reason]) + varint(count) + text(detail)
        case _:
            raise TypeError(type(record).__name__)
