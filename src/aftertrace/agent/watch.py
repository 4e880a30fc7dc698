"""What goes wrong, seen in the records of spans as they are read: the triggers (ARCHITECTURE.md, D7, first form)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

from aftertrace.agent.walk import HEAD, fragment, position_of, read_varint, ticks_before
from aftertrace.errors import BadRecording
from aftertrace.model import SpanKind
from aftertrace.wire import values
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

    def take(
        self, position: int, trace: bytes | None, records: bytes, found: Sequence[Found]
    ) -> tuple[list[Trigger], list[Stray]]:
        """The records of one slice that scan() found."""
        triggers: list[Trigger] = []
        strays: list[Stray] = []
        for kind, start, end in found:
            handler = _HANDLERS.get(kind)
            if handler is not None:
                try:
                    owner = handler(self, records, start, end, triggers)
                except IndexError:
                    continue
                if owner is not None and owner != trace:
                    at = start - HEAD
                    piece = fragment(owner, ticks_before(records, at), records[at:end])
                    strays.append(Stray(owner, position_of(position, records, at), piece))
            elif kind == Kind.KEEP and trace is not None:
                triggers.append(_keep(trace, records, start, end))
        return triggers, strays

    def died(self, sentence: str) -> Iterator[Trigger]:
        """The process is gone: each trace that it was at work on."""
        for trace in {span.trace for span in self.open.values()}:
            yield Trigger(trace, DEATH, reason=sentence)

    def start(self, records: bytes, start: int, end: int, _: list[Trigger]) -> bytes | None:
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

    def attribute(self, records: bytes, start: int, end: int, _: list[Trigger]) -> bytes | None:
        span = self.open.get(records[start : start + 8])
        if span is None:
            return None
        _http_status(span, records, start, end)
        return span.trace

    def event(self, records: bytes, start: int, end: int, _: list[Trigger]) -> bytes | None:
        at = _behind_stamp(records, start)
        span = self.open.get(records[at : at + 8])
        if span is None:
            return None
        at = _behind_stamp(records, at + 8)  # the explicit time
        span.exception |= records[at : min(at + 10, end)] == _EXCEPTION
        return span.trace

    def status(self, records: bytes, start: int, end: int, _: list[Trigger]) -> bytes | None:
        span = self.open.get(records[start : start + 8])
        if span is None or start + 8 >= end:
            return None
        span.error = records[start + 8] == 2
        return span.trace

    def other(self, records: bytes, start: int, end: int, _: list[Trigger]) -> bytes | None:  # noqa: ARG002 (as the others)
        span = self.open.get(records[start : start + 8])
        return span.trace if span else None

    def end(self, records: bytes, start: int, end: int, triggers: list[Trigger]) -> bytes | None:
        at = _behind_stamp(records, start)
        span = self.open.pop(records[at : at + 8], None)
        if span is None:
            return None
        name = _judge(span)
        if name:
            triggers.append(Trigger(span.trace, name, records[at : at + 8].hex(), ticks_before(records, end)))
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
            with suppress(BadRecording):  # the key may stand in some text
                value, _ = values.decode(records, at + len(key))
                if type(value.scalar) is int:
                    span.http_status = value.scalar


def _keep(trace: bytes, records: bytes, start: int, end: int) -> Trigger:
    ticks = ticks_before(records, end)
    try:
        at = _behind_stamp(records, start)
        length, at = read_varint(records, at)
        reason = records[at : min(at + length, end)].decode("utf-8", "replace")
    except IndexError:
        reason = ""
    return Trigger(trace, KEEP, ticks=ticks, reason=reason or "the program asked")


_HANDLERS: dict[int, Callable[[Watch, bytes, int, int, list[Trigger]], bytes | None]] = {
    Kind.SPAN_START: Watch.start,
    Kind.SPAN_ATTR: Watch.attribute,
    Kind.SPAN_EVENT: Watch.event,
    Kind.SPAN_LINK: Watch.other,
    Kind.SPAN_STATUS: Watch.status,
    Kind.SPAN_NAME: Watch.other,
    Kind.SPAN_END: Watch.end,
}
