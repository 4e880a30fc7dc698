"""Spans as a process's own records tell them: for those that were never sent, because it died or nobody took them."""

from __future__ import annotations

from dataclasses import replace

from aftertrace.model import (
    Attributes,
    AttributeValue,
    Span,
    SpanEvent,
    SpanKind,
    SpanLink,
    StatusCode,
    Value,
    ValueKind,
)
from aftertrace.reconstruct import decode
from aftertrace.reconstruct.decode import Memory
from aftertrace.wire import kinds


def told(memory: Memory, trace_id: str) -> dict[str, Span]:
    """By id; ``end_ns`` is 0 where the end is not among the records."""
    found: dict[str, Span] = {}
    for one in memory.slices:
        for record in decode.events(memory, one):
            if isinstance(record, kinds.SpanStart):
                if record.trace_id == trace_id:
                    found.setdefault(record.span_id, _begun(memory, record))
            elif isinstance(record, _MORE) and record.span_id in found:
                found[record.span_id] = _more(found[record.span_id], memory, record)
    return found


_MORE = (
    kinds.SpanAttr,
    kinds.SpanEventRecord,
    kinds.SpanLinkRecord,
    kinds.SpanStatus,
    kinds.SpanName,
    kinds.SpanEnd,
)


def _begun(memory: Memory, record: kinds.SpanStart) -> Span:
    return Span(
        trace_id=record.trace_id,
        span_id=record.span_id,
        parent_id=record.parent_id,
        name=record.name,
        kind=SpanKind(record.span_kind) if record.span_kind in list(SpanKind) else SpanKind.UNSPECIFIED,
        start_ns=record.start_ns or memory.clocks.realtime(record.ticks),
        end_ns=0,
        resource=memory.resource,
        attributes=_attributes(record.attributes),
        links=tuple(SpanLink(trace, span, _attributes(more)) for trace, span, more in record.links),
        scope=record.scope,
        flags=record.trace_flags,
    )


def _more(span: Span, memory: Memory, record: kinds.Record) -> Span:
    match record:
        case kinds.SpanAttr():
            return replace(span, attributes={**span.attributes, **_attributes(record.attributes)})
        case kinds.SpanEventRecord():
            time_ns = record.time_ns or memory.clocks.realtime(record.ticks)
            event = SpanEvent(time_ns, record.name, _attributes(record.attributes))
            return replace(span, events=(*span.events, event))
        case kinds.SpanLinkRecord():
            link = SpanLink(record.linked_trace_id, record.linked_span_id, _attributes(record.attributes))
            return replace(span, links=(*span.links, link))
        case kinds.SpanStatus():
            code = StatusCode(record.code) if record.code in list(StatusCode) else StatusCode.UNSET
            return replace(span, status=code, status_message=record.description)
        case kinds.SpanName():
            return replace(span, name=record.name)
        case kinds.SpanEnd():
            return replace(span, end_ns=record.end_ns or memory.clocks.realtime(record.ticks))
        case _:
            return span


def _attributes(attributes: kinds.Attrs) -> Attributes:
    return {name: _attribute(value) for name, value in attributes}


def _attribute(value: Value) -> AttributeValue:
    if value.kind is ValueKind.SEQUENCE:
        return [_attribute(item) for item in value.items]
    if value.kind is not ValueKind.SCALAR:
        return f"<{value.type}>"
    return str(value.scalar) if isinstance(value.scalar, complex) else value.scalar
