"""OTLP requests -> spans and log records of the model.

What the specification calls invalid (ids of another length, all-zero ids) is rejected item by item, the rest is
taken; a body that is no OTLP at all is a BadOtlp. opentelemetry-proto docs/specification.md, trace/v1, logs/v1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sized
from typing import Any

from google.protobuf.message import DecodeError, Message
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord as ProtoLog
from opentelemetry.proto.trace.v1.trace_pb2 import Span as ProtoSpan

from aftertrace.errors import BadOtlp
from aftertrace.model import (
    Attributes,
    AttributeValue,
    LogRecord,
    Resource,
    Span,
    SpanEvent,
    SpanKind,
    SpanLink,
    StatusCode,
)
from aftertrace.receive.otlp_json import MOST_ITEMS, NO_HEX
from aftertrace.receive.signals import Outcome

_KINDS = {int(kind): kind for kind in SpanKind}
_STATUSES = {int(status): status for status in StatusCode}


class _Invalid(Exception):
    """This item cannot be taken; says why."""


type Parse = Callable[[type[Any], bytes], Any]
"""Bytes -> an Export request: of protobuf or of JSON. Raises BadOtlp."""


def spans(body: bytes, outcome: Outcome, parse: Parse) -> Iterator[Span]:
    """Those of an ExportTraceServiceRequest that can be taken; the others are told to ``outcome``. Raises BadOtlp."""
    request = parse(ExportTraceServiceRequest, body)
    count = _counted(0, request.resource_spans)
    for group in request.resource_spans:
        count = _counted(count, group.scope_spans)
        resource = Resource(_attributes(group.resource.attributes))
        for scope in group.scope_spans:
            count = _counted(count, scope.spans)
            for span in scope.spans:
                try:
                    yield _span(span, resource, scope.scope.name, outcome.warn)
                except _Invalid as problem:
                    outcome.reject(str(problem))


def logs(body: bytes, outcome: Outcome, parse: Parse) -> Iterator[LogRecord]:
    """Those of an ExportLogsServiceRequest that can be taken; the others are told to ``outcome``. Raises BadOtlp."""
    request = parse(ExportLogsServiceRequest, body)
    count = _counted(0, request.resource_logs)
    for group in request.resource_logs:
        count = _counted(count, group.scope_logs)
        resource = Resource(_attributes(group.resource.attributes))
        for scope in group.scope_logs:
            count = _counted(count, scope.log_records)
            for record in scope.log_records:
                try:
                    yield _log(record, resource, scope.scope.name)
                except _Invalid as problem:
                    outcome.reject(str(problem))


def count_data_points(body: bytes, parse: Parse) -> int:
    """How many data points an ExportMetricsServiceRequest holds. Raises BadOtlp."""
    request = parse(ExportMetricsServiceRequest, body)
    points = 0
    count = _counted(0, request.resource_metrics)
    for group in request.resource_metrics:
        count = _counted(count, group.scope_metrics)
        for scope in group.scope_metrics:
            count = _counted(count, scope.metrics)
            for metric in scope.metrics:
                kind = metric.WhichOneof("data")
                points += len(getattr(metric, kind).data_points) if kind else 0
    return points


def _counted(count: int, more: Sized) -> int:
    """Groups, scopes and items so far. Raises BadOtlp when they are too many."""
    count += len(more)
    if count > MOST_ITEMS:
        raise BadOtlp("too-many-items", f"The body holds more than {MOST_ITEMS:,} items.", "Send smaller batches.")
    return count


def parse[Request: Message](kind: type[Request], body: bytes) -> Request:
    """An Export...ServiceRequest. Raises BadOtlp."""
    try:
        return kind.FromString(body)
    except DecodeError:
        raise BadOtlp(
            "bad-otlp", f"The body is not an OTLP {kind.DESCRIPTOR.name}.", "Send OTLP as protobuf, version 1."
        ) from None


def _id(raw: bytes, size: int, what: str) -> str:
    if raw == NO_HEX:
        raise _Invalid(f"{what} is not hex")
    if len(raw) != size:
        raise _Invalid(f"{what} of {len(raw)} bytes, {size} are needed")
    if not any(raw):
        raise _Invalid(f"{what} is all zero")
    return raw.hex()


def _optional_id(raw: bytes, size: int, what: str) -> str:
    """Empty and all-zero ids both say: none."""
    return _id(raw, size, what) if any(raw) or len(raw) not in {0, size} else ""


def _span(span: ProtoSpan, resource: Resource, scope: str, warn: Callable[[str], None]) -> Span:
    return Span(
        trace_id=_id(span.trace_id, 16, "a trace id"),
        span_id=_id(span.span_id, 8, "a span id"),
        parent_id=_optional_id(span.parent_span_id, 8, "a parent span id"),
        name=span.name,
        kind=_KINDS.get(span.kind, SpanKind.UNSPECIFIED),
        start_ns=span.start_time_unix_nano,
        end_ns=span.end_time_unix_nano,
        resource=resource,
        status=_STATUSES.get(span.status.code, StatusCode.UNSET),
        status_message=span.status.message,
        attributes=_attributes(span.attributes),
        events=tuple(SpanEvent(e.time_unix_nano, e.name, _attributes(e.attributes)) for e in span.events),
        links=_links(span, warn) if span.links else (),
        scope=scope,
        trace_state=span.trace_state,
        flags=span.flags,
    )


def _links(span: ProtoSpan, warn: Callable[[str], None]) -> tuple[SpanLink, ...]:
    """A link that leads nowhere is left out, and said; the span is worth more than it."""
    links: list[SpanLink] = []
    for link in span.links:
        try:
            ids = _id(link.trace_id, 16, "a link's trace id"), _id(link.span_id, 8, "a link's span id")
        except _Invalid as problem:
            warn(f"left out a link: {problem}")
        else:
            links.append(SpanLink(*ids, _attributes(link.attributes)))
    return tuple(links)


def _log(record: ProtoLog, resource: Resource, scope: str) -> LogRecord:
    return LogRecord(
        time_ns=record.time_unix_nano or record.observed_time_unix_nano,
        severity=record.severity_number,
        body=_value(record.body),
        resource=resource,
        trace_id=_optional_id(record.trace_id, 16, "a trace id"),
        span_id=_optional_id(record.span_id, 8, "a span id"),
        event_name=record.event_name,
        attributes=_attributes(record.attributes),
        scope=scope,
    )


def _attributes(pairs: Iterable[KeyValue]) -> Attributes:
    return {pair.key: _value(pair.value) for pair in pairs}


def _value(value: AnyValue) -> AttributeValue:
    """AnyValue of any kind; protobuf's own depth limit (100 messages) bounds the recursion."""
    kind = value.WhichOneof("value")
    if kind is None:
        return None
    content: Any = getattr(value, kind)
    if kind == "array_value":
        return [_value(item) for item in content.values]
    if kind == "kvlist_value":
        return _attributes(content.values)
    if kind == "string_value_strindex":  # a reference into a profile's string table: there is none here
        return None
    return content  # type: ignore[no-any-return]  # str, bool, int, float, bytes
