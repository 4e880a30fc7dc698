"""What goes wrong, seen in the records of spans as they are read: the triggers (ARCHITECTURE.md, D7), and requests."""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from aftertrace.agent.requests import Origin, Request
from aftertrace.agent.walk import HEAD, STAMPED, fragment, position_of, read_varint
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
_MOST_RAISED = 512  # exceptions of one process that were neither handled nor forgotten
_LONGEST_NAME = 200  # bytes of a request's
_MESSAGE = 40  # bytes that tell log records of one logger apart
_NO_SPAN = bytes(8)
_KEEP = int(Kind.KEEP)  # a member of an enumeration is slow to find
_ASKED = (int(SpanKind.SERVER), int(SpanKind.CONSUMER))
_INT = 0x06  # tag of a value
_EXCEPTION_VALUE = 0x14  # likewise
_ERROR_SEVERITY = 17  # OTLP's ERROR
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
    role: str = "failure"  # sibling, neighbour: as model.Keep has it
    route: str = ""
    request: str = ""  # hex, the span that knows the route when it has ended; "": ``route`` is it
    origin: Origin | None = None  # where the exception was raised
    weight: float = 1.0
    of: bytes = b""  # the trace that a neighbour overlapped


@dataclass(slots=True)
class OpenSpan:
    trace: bytes
    kind: int
    root: bool  # no parent, or another process's
    request: Request | None = None
    error: bool = False
    exception: bool = False
    http_status: int = 0


@dataclass(frozen=True, slots=True)
class Stray:
    """A span's record in another trace's slice, as a slice of its own."""

    trace: bytes
    position: int
    records: bytes


type Found = tuple[int, int, int, int]  # kind, start of the body, end, ticks before: what _native.survey gives


class Watch:
    """The open spans of one process. Its records are hostile input: what does not fit is passed over."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.open: dict[bytes, OpenSpan] = {}
        self.at_work: dict[bytes, Request] = {}  # by trace, the one that began last
        self.ended: list[Request] = []  # since somebody took them away
        self._clock = clock
        self._raised: dict[int, Origin] = {}  # by the exception's identity
        self._handled: set[int] = set()  # of these, those that nothing has raised further yet
        self._ended: tuple[str, bytes, OpenSpan] | None = None  # the trigger that a span's end was

    def take(
        self, position: int, trace: bytes | None, records: bytes, found: Sequence[Found]
    ) -> tuple[list[Trigger], list[Stray]]:
        """The records of one slice that survey() found."""
        triggers: list[Trigger] = []
        strays: list[Stray] = []
        for kind, start, end, before in found:
            handler = _HANDLERS.get(kind)
            if handler is None:
                continue
            try:
                ticks = before + read_varint(records, start)[0] if STAMPED[kind] else before
                owner = handler(self, records, start, end, trace, ticks)
                if owner is not None and owner != trace:
                    at = start - HEAD
                    piece = fragment(owner, before, records[at:end])
                    strays.append(Stray(owner, position_of(position, records, at), piece))
                if kind == _KEEP:
                    if trace is not None:
                        triggers.append(Trigger(trace, KEEP, "", ticks, _reason(records, start, end)))
                elif self._ended is not None:
                    name, span, of = self._ended
                    origin = of.request.raised if of.request is not None else None
                    triggers.append(Trigger(of.trace, name, span.hex(), ticks, origin=origin))
                    self._ended = None
            except (IndexError, UnicodeDecodeError):
                self._ended = None
        return triggers, strays

    def died(self, sentence: str) -> Iterator[Trigger]:
        """The process is gone: each trace that it was at work on."""
        for trace in {span.trace for span in self.open.values()}:
            yield Trigger(trace, DEATH, reason=sentence)

    def start(self, records: bytes, start: int, end: int, _: bytes | None, ticks: int) -> bytes | None:
        at = _behind_stamp(records, start)
        if at + 35 > end:
            return None
        span, trace, parent = records[at : at + 8], records[at + 8 : at + 24], records[at + 24 : at + 32]
        new = OpenSpan(trace, records[at + 32], parent == _NO_SPAN or bool(records[at + 34]))
        if new.root or new.kind in _ASKED:
            name = _text(records, _behind_stamp(records, at + 35), end)
            new.request = self.at_work[trace] = Request(trace, span.hex(), name, ticks, self._clock())
        self.open[span] = new
        _http_status(new, records, at, end)
        if len(self.open) > _MOST_OPEN:
            self._close(self.open.pop(next(iter(self.open))))
        return trace

    def clear(self) -> None:
        """The process is gone."""
        self.open.clear()
        self.at_work.clear()
        self._raised.clear()
        self._handled.clear()

    def _close(self, span: OpenSpan) -> None:
        if span.request is not None and self.at_work.get(span.trace) is span.request:
            del self.at_work[span.trace]

    def attribute(self, records: bytes, start: int, end: int, _: bytes | None, __: int) -> bytes | None:
        span = self.open.get(records[start : start + 8])
        if span is None:
            return None
        _http_status(span, records, start, end)
        return span.trace

    def event(self, records: bytes, start: int, end: int, _: bytes | None, __: int) -> bytes | None:
        at = _behind_stamp(records, start)
        span = self.open.get(records[at : at + 8])
        if span is None:
            return None
        at = _behind_stamp(records, at + 8)  # the explicit time
        span.exception |= records[at : min(at + 10, end)] == _EXCEPTION
        return span.trace

    def status(self, records: bytes, start: int, end: int, _: bytes | None, __: int) -> bytes | None:
        span = self.open.get(records[start : start + 8])
        if span is None or start + 8 >= end:
            return None
        span.error = records[start + 8] == 2
        return span.trace

    def name(self, records: bytes, start: int, end: int, _: bytes | None, __: int) -> bytes | None:
        span = self.open.get(records[start : start + 8])
        if span is None:
            return None
        if span.request is not None:
            span.request.name = _text(records, start + 8, end)
        return span.trace

    def link(self, records: bytes, start: int, _: int, __: bytes | None, ___: int) -> bytes | None:
        span = self.open.get(records[start : start + 8])
        return span.trace if span else None

    def keep(self, _: bytes, __: int, ___: int, ____: bytes | None, _____: int) -> bytes | None:
        return None  # it belongs to the slice that it stands in

    def end(self, records: bytes, start: int, _: int, __: bytes | None, ticks: int) -> bytes | None:
        at = _behind_stamp(records, start)
        span = self.open.pop(records[at : at + 8], None)
        if span is None:
            return None
        name = _judge(span)
        if name:
            self._ended = name, records[at : at + 8], span
        if span.request is not None:
            self._close(span)
            span.request.ended, span.request.failed, span.request.status = ticks, bool(name), span.http_status
            self.ended.append(span.request)
        return span.trace

    # -- exceptions and logs: of the request that is at work in the slice's trace

    def raised(self, records: bytes, start: int, end: int, trace: bytes | None, _: int) -> bytes | None:
        """An exception is told in each frame that it reaches: the first is where it was raised."""
        request = self.at_work.get(trace) if trace is not None else None
        if request is None:
            return None
        activation, at = read_varint(records, _behind_stamp(records, start))
        lasti, at = read_varint(records, at)
        identity, at = read_varint(records, at)
        if records[at] != _EXCEPTION_VALUE:
            return None
        kind = _text(records, at + 1, end)
        known = self._raised.get(identity)
        if known is None or known.type != kind or identity in self._handled:  # else it goes up
            origin = Origin(kind, activation, lasti)
            self._forget(identity)
            self._raised[identity] = request.raised = origin
            if len(self._raised) > _MOST_RAISED:
                self._forget(next(iter(self._raised)))
        return None

    def _forget(self, identity: int) -> None:
        self._raised.pop(identity, None)
        self._handled.discard(identity)

    def handled(self, records: bytes, start: int, _: int, trace: bytes | None, __: int) -> bytes | None:
        """Also where a ``finally`` or a ``with`` looks at what it raises again: then its frame is unwound."""
        identity = _exception(records, start)
        origin, request = self._raised.get(identity), self.at_work.get(trace) if trace is not None else None
        if request is not None and origin is not None:
            self._handled.add(identity)
            request.handle(origin)
        return None

    def unwound(self, records: bytes, start: int, _: int, trace: bytes | None, __: int) -> bytes | None:
        identity = _exception(records, start)
        if identity in self._handled:
            self._handled.discard(identity)
            request = self.at_work.get(trace) if trace is not None else None
            if request is not None:
                request.raise_further(self._raised[identity])
        return None

    def log(self, records: bytes, start: int, end: int, trace: bytes | None, ticks: int) -> bytes | None:
        severity, at = read_varint(records, _behind_stamp(records, start))
        request = self.at_work.get(trace) if trace is not None else None
        if severity >= _ERROR_SEVERITY and request is not None:
            logger = _text(records, at, end)
            length, at = read_varint(records, at)
            message = records[at + length : min(at + length + _MESSAGE, end)]  # its beginning, arguments not put in
            request.log(f"{logger}:{zlib.crc32(message):08x}", ticks)
        return None


def _behind_stamp(records: bytes, at: int) -> int:
    return read_varint(records, at)[1]


def _exception(records: bytes, start: int) -> int:
    """Identity of the exception of HANDLED and UNWIND: behind stamp, activation and instruction."""
    return read_varint(records, _behind_stamp(records, _behind_stamp(records, _behind_stamp(records, start))))[0]


def _text(records: bytes, at: int, end: int) -> str:
    length, at = read_varint(records, at)
    if at + length > end:
        raise IndexError
    return records[at : at + min(length, _LONGEST_NAME)].decode("utf-8", "replace")


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


_HANDLERS: dict[int, Callable[[Watch, bytes, int, int, bytes | None, int], bytes | None]] = {
    Kind.SPAN_START: Watch.start,
    Kind.SPAN_ATTR: Watch.attribute,
    Kind.SPAN_EVENT: Watch.event,
    Kind.SPAN_LINK: Watch.link,
    Kind.SPAN_STATUS: Watch.status,
    Kind.SPAN_NAME: Watch.name,
    Kind.SPAN_END: Watch.end,
    Kind.RAISE: Watch.raised,
    Kind.HANDLED: Watch.handled,
    Kind.UNWIND: Watch.unwound,
    Kind.LOG: Watch.log,
    Kind.KEEP: Watch.keep,
}
