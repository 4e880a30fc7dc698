"""A process's records of one trace -> its spans and log records (docs/format.md, SPAN_* and LOG)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from aftertrace.agent import plain
from aftertrace.agent.walk import walk
from aftertrace.errors import BadRecording
from aftertrace.model import Attributes, LogRecord, Resource, Span, SpanEvent, SpanKind, SpanLink, StatusCode, ValueKind
from aftertrace.wire import records as wire
from aftertrace.wire.kinds import Kind
from aftertrace.wire.recording import Clocks

_KINDS = {int(kind): kind for kind in SpanKind}
_STATUSES = {int(status): status for status in StatusCode}
_NOBODY = Resource({})
_WANTED = {*range(Kind.SPAN_START, Kind.SPAN_END + 1), Kind.LOG}


@dataclass(slots=True)
class Draft:
    """A span as far as its records went."""

    span: Span
    attributes: Attributes = field(default_factory=dict)
    events: list[SpanEvent] = field(default_factory=list)
    links: list[SpanLink] = field(default_factory=list)

    def whole(self) -> Span:
        return replace(self.span, attributes=self.attributes, events=tuple(self.events), links=tuple(self.links))


class Spans:
    """Of one trace in one process, as its records come. What ready() gave is forgotten."""

    def __init__(self, trace_id: str) -> None:
        self._trace = trace_id
        self._clocks = Clocks()
        self._drafts: dict[str, Draft] = {}
        self._logs: list[LogRecord] = []
        self._segment = wire.Segment(0, 0, 0, 0)

    def take(self, slices: Iterable[bytes], clocks: Clocks) -> None:
        """Slices and fragments, in the ring's order; ``clocks`` know their time."""
        self._clocks = clocks
        for records in slices:
            for record in _decoded(records):
                self._take(record)

    def _take(self, record: wire.Record) -> None:
        if isinstance(record, wire.Segment):
            self._segment = record
        elif isinstance(record, wire.SpanStart):
            self._start(record)
        elif isinstance(record, wire.Log):
            self._logs.append(self._log(record))
        elif draft := self._drafts.get(getattr(record, "span_id", "")):
            self._change(draft, record)

    def ready(self, *, whole: bool = False, still_open: bool = False) -> tuple[list[Span], list[LogRecord]]:
        """Spans that have ended (``whole``: all) and logs, each once; ``still_open``: also, as far as they are known,
        those that are to be told again when they end."""
        spans = [draft.whole() for draft in self._drafts.values() if whole or still_open or draft.span.end_ns]
        for span in spans:
            if whole or span.end_ns:
                del self._drafts[span.span_id]
        logs, self._logs = self._logs, []
        return spans, logs

    def _time(self, given: int, ticks: int) -> int:
        return given or self._clocks.realtime(ticks)

    def _start(self, record: wire.SpanStart) -> None:
        if record.trace_id != self._trace:
            return
        span = Span(
            trace_id=record.trace_id,
            span_id=record.span_id,
            parent_id=record.parent_id,
            name=record.name,
            kind=_KINDS.get(record.span_kind, SpanKind.INTERNAL),
            start_ns=self._time(record.start_ns, record.ticks),
            end_ns=0,
            resource=_NOBODY,
            scope=record.scope,
            flags=record.trace_flags
            | (0x300 if record.remote else 0x100),  # OTLP: whether the parent is remote is known
        )
        links = [SpanLink(trace, other, plain.attributes(attributes)) for trace, other, attributes in record.links]
        self._drafts[record.span_id] = Draft(span, plain.attributes(record.attributes), links=links)

    def _change(self, draft: Draft, record: wire.Record) -> None:
        match record:
            case wire.SpanAttr():
                draft.attributes.update(plain.attributes(record.attributes))
            case wire.SpanEventRecord():
                time = self._time(record.time_ns, record.ticks)
                draft.events.append(SpanEvent(time, record.name, plain.attributes(record.attributes)))
            case wire.SpanLinkRecord():
                attributes = plain.attributes(record.attributes)
                draft.links.append(SpanLink(record.linked_trace_id, record.linked_span_id, attributes))
            case wire.SpanStatus():
                status = _STATUSES.get(record.code, StatusCode.UNSET)
                draft.span = replace(draft.span, status=status, status_message=record.description)
            case wire.SpanName():
                draft.span = replace(draft.span, name=record.name)
            case wire.SpanEnd():
                draft.span = replace(draft.span, end_ns=self._time(record.end_ns, record.ticks))

    def _log(self, record: wire.Log) -> LogRecord:
        attributes: Attributes = {}
        if record.file:
            attributes |= {"code.file.path": record.file, "code.line.number": record.line}
        if record.function:
            attributes["code.function.name"] = record.function
        if record.exception.kind is ValueKind.EXCEPTION:
            attributes["exception.type"] = record.exception.type
            attributes["exception.message"] = plain.text(record.exception)
        return LogRecord(
            time_ns=self._clocks.realtime(record.ticks),
            severity=record.severity,
            body=plain.message(record.message, record.arguments),
            resource=_NOBODY,
            trace_id=self._trace,
            span_id=self._segment.span_id if self._segment.trace_id == self._trace else "",
            attributes=attributes,
            scope=record.logger,
        )


def _decoded(records: bytes) -> Iterator[wire.Record]:
    """The records that tell of spans and logs; a broken one is left out."""
    for kind, start, end, before, _ in walk(records):
        if kind == Kind.SEGMENT or kind in _WANTED:
            try:
                yield from wire.decode(records[start:end], base_ticks=before)
            except BadRecording:
                continue
