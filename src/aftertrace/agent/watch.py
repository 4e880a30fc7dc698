"""What goes wrong, seen in the records of spans as they are read: the triggers (ARCHITECTURE.md, D7, first form)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from aftertrace.agent.walk import HEAD, Stamps, fragment, position_of, read_varint
from aftertrace.model import SpanKind
from aftertrace.wire.kinds import Kind

UNHANDLED, SERVER_ERROR, ERROR, KEEP, DEATH = (
    "unhandled-exception",
    "server-error",
    "error-status",
    "keep",
    "process-death",
)
_MOST_OPEN = 100_000  # spans of one process; a program that never ends its spans loses the oldest here
_NO_SPAN = bytes(8)
_INT = 0x06  # tag of a value
_EXCEPTION = b"\x09exception"
_STATUS_KEYS = (b"\x19http.response.status_code", b"\x10http.status_code")  # the second: before OTel 1.20


@dataclass(frozen=True, slots=True)
class Trigger:
    """One reason to keep a trace. ``ticks``: of the record that showed it, 0 when none did."""

    trace: bytes
    name: str
    span: str = ""  # hex, the span that showed it
    ticks: int = 0
    reason: str = ""  # "": the span says it


@dataclass(slots=True)
class OpenSpan:
    trace: bytes
    kind: int
    root: bool  # no parent, or another process's
    error: bool = False
    exception: bool = False
    http_status: int = 0


@dataclass(frozen=True, slots=True)
class Stray:
    """A span's record in another trace's slice, as a slice of its own."""

    trace: bytes
    position: int
    records: bytes


type Found = tuple[int, int, int]  # kind, start of the body, end: what _native.scan gives


class Watch:
    """The open spans of one process. Its records are hostile input: what does not fit is passed over."""

    def __init__(self) -> None:
        self.open: dict[bytes, OpenSpan] = {}
        self._ended: tuple[str, bytes, bytes] | None = None  # the trigger, span and trace of the span that just ended

    def take(
        self, position: int, trace: bytes | None, records: bytes, found: Sequence[Found]
    ) -> tuple[list[Trigger], list[Stray]]:
        """The records of one slice that scan() found."""
        triggers: list[Trigger] = []
        strays: list[Stray] = []
        stamps = Stamps(records)
        for kind, start, end in found:
            handler = _HANDLERS.get(kind)
            if handler is None:
                continue
            try:
                owner = handler(self, records, start, end)
                if owner is not None and owner != trace:
                    at = start - HEAD
                    piece = fragment(owner, stamps.before(at), records[at:end])
                    strays.append(Stray(owner, position_of(position, records, at), piece))
                if kind == Kind.KEEP and trace is not None:
                    triggers.append(Trigger(trace, KEEP, "", stamps.before(end), _reason(records, start, end)))
                elif self._ended is not None:
                    name, span, of = self._ended
                    triggers.append(Trigger(of, name, span.hex(), stamps.before(end)))
                    self._ended = None
            except IndexError:
                self._ended = None
        return triggers, strays

    def died(self, sentence: str) -> Iterator[Trigger]:
        """The process is gone: each trace that it was at work on."""
        for trace in {span.trace for span in self.open.values()}:
            yield Trigger(trace, DEATH, reason=sentence)

    def start(self, records: bytes, start: int, end: int) -> bytes | None:
        at = _behind_stamp(records, start)
        if at + 35 > end:
            return None
        trace, parent = records[at + 8 : at + 24], records[at + 24 : at + 32]
        span = OpenSpan(trace, records[at + 32], parent == _NO_SPAN or bool(records[at + 34]))
        self.open[records[at : at + 8]] = span
        _http_status(span, records, at, end)
        if len(self.open) > _MOST_OPEN:
            del self.open[next(iter(self.open))]
        return trace

    def attribute(self, records: bytes, start: int, end: int) -> bytes | None:
        span = self.open.get(records[start : start + 8])
        if span is None:
            return None
        _http_status(span, records, start, end)
        return span.trace

    def event(self, records: bytes, start: int, end: int) -> bytes | None:
        at = _behind_stamp(records, start)
        span = self.open.get(records[at : at + 8])
        if span is None:
            return None
        at = _behind_stamp(records, at + 8)  # the explicit time
        span.exception |= records[at : min(at + 10, end)] == _EXCEPTION
        return span.trace

    def status(self, records: bytes, start: int, end: int) -> bytes | None:
        span = self.open.get(records[start : start + 8])
        if span is None or start + 8 >= end:
            return None
        span.error = records[start + 8] == 2
        return span.trace

    def other(self, records: bytes, start: int, _: int) -> bytes | None:
        span = self.open.get(records[start : start + 8])
        return span.trace if span else None

    def keep(self, _: bytes, __: int, ___: int) -> bytes | None:
        return None  # it belongs to the slice that it stands in

    def end(self, records: bytes, start: int, _: int) -> bytes | None:
        at = _behind_stamp(records, start)
        span = self.open.pop(records[at : at + 8], None)
        if span is None:
            return None
        name = _judge(span)
        if name:
            self._ended = name, records[at : at + 8], span.trace
        return span.trace


def _behind_stamp(records: bytes, at: int) -> int:
    return read_varint(records, at)[1]


def _judge(span: OpenSpan) -> str:
    """The trigger that the end of a span is, "" for none. A 404 has no error status: it is no failure."""
    if span.error and span.root and span.exception:
        return UNHANDLED
    if span.kind == SpanKind.SERVER and span.http_status >= 500:
        return SERVER_ERROR
    if span.error and (span.root or span.kind == SpanKind.CONSUMER):
        return ERROR
    return ""


def _http_status(span: OpenSpan, records: bytes, start: int, end: int) -> None:
    if span.kind != SpanKind.SERVER:
        return
    for key in _STATUS_KEYS:
        at = records.find(key, start, end)
        if at >= 0:
            at += len(key)
            if at < end and records[at] == _INT:
                span.http_status = read_varint(records, at + 1)[0] >> 1  # zigzag; a negative one is no status anyway


def _reason(records: bytes, start: int, end: int) -> str:
    length, at = read_varint(records, _behind_stamp(records, start))
    return records[at : min(at + length, end)].decode("utf-8", "replace") or "the program asked"


_HANDLERS: dict[int, Callable[[Watch, bytes, int, int], bytes | None]] = {
    Kind.SPAN_START: Watch.start,
    Kind.SPAN_ATTR: Watch.attribute,
    Kind.SPAN_EVENT: Watch.event,
    Kind.SPAN_LINK: Watch.other,
    Kind.SPAN_STATUS: Watch.status,
    Kind.SPAN_NAME: Watch.other,
    Kind.SPAN_END: Watch.end,
    Kind.KEEP: Watch.keep,
}
