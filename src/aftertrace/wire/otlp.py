"""Spans and log records -> OTLP Export requests as protobuf bytes, without a protobuf library (ARCHITECTURE.md, D16).

Field numbers: opentelemetry-proto common/v1, resource/v1, trace/v1, logs/v1, collector/*/v1. Only what our model holds
is written; fields with their default are left out, as proto3 does. Text that is no UTF-8 (lone surrogates) is written
with ``?``, whole numbers beyond 64 bits as text.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable

from aftertrace.model import Attributes, AttributeValue, LogRecord, Resource, Span, SpanEvent, SpanLink
from aftertrace.wire.primitives import varint

_FIXED64, _FIXED32, _DOUBLE = struct.Struct("<Q"), struct.Struct("<I"), struct.Struct("<d")
_DEPTH = 32  # of nested attribute values: a reader of protobuf takes 100 messages


def encode_traces(spans: Iterable[Span]) -> bytes:
    """An ExportTraceServiceRequest, grouped by resource and scope in the order in which they come."""
    return _request(spans, _span)


def encode_logs(records: Iterable[LogRecord]) -> bytes:
    """An ExportLogsServiceRequest, grouped by resource and scope in the order in which they come."""
    return _request(records, _log)


def _request[Item: (Span, LogRecord)](items: Iterable[Item], write: Callable[[Item], bytes]) -> bytes:
    """ResourceSpans and ResourceLogs have the same numbers: 1 resource, 2 scopes; within these 1 scope, 2 items."""
    groups: dict[bytes, dict[str, list[bytes]]] = {}
    known: dict[int, tuple[Resource, bytes]] = {}
    for item in items:
        if id(item.resource) not in known:
            known[id(item.resource)] = item.resource, _attributes(1, item.resource.attributes)
        scopes = groups.setdefault(known[id(item.resource)][1], {})
        scopes.setdefault(item.scope, []).append(_message(2, write(item)))
    out = []
    for resource, scopes in groups.items():
        parts = [_message(1, resource)]
        parts += [_message(2, _message(1, _text(1, scope)) + b"".join(found)) for scope, found in scopes.items()]
        out.append(_message(1, b"".join(parts)))
    return b"".join(out)


# -- spans and logs


def _span(span: Span) -> bytes:
    status = _text(2, span.status_message) + _number(3, span.status)
    return b"".join(
        (
            _bytes(1, bytes.fromhex(span.trace_id)),
            _bytes(2, bytes.fromhex(span.span_id)),
            _text(3, span.trace_state),
            _bytes(4, bytes.fromhex(span.parent_id)),
            _text(5, span.name),
            _number(6, span.kind),
            _fixed64(7, span.start_ns),
            _fixed64(8, span.end_ns),
            _attributes(9, span.attributes),
            *(_message(11, _event(event)) for event in span.events),
            *(_message(13, _link(link)) for link in span.links),
            _message(15, status) if status else b"",
            _fixed32(16, span.flags),
        )
    )


def _event(event: SpanEvent) -> bytes:
    return _fixed64(1, event.time_ns) + _text(2, event.name) + _attributes(3, event.attributes)


def _link(link: SpanLink) -> bytes:
    ids = _bytes(1, bytes.fromhex(link.trace_id)) + _bytes(2, bytes.fromhex(link.span_id))
    return ids + _attributes(4, link.attributes)


def _log(record: LogRecord) -> bytes:
    return b"".join(
        (
            _fixed64(1, record.time_ns),
            _number(2, record.severity),
            b"" if record.body is None else _message(5, _value(record.body, 0)),
            _attributes(6, record.attributes),
            _bytes(9, bytes.fromhex(record.trace_id)),
            _bytes(10, bytes.fromhex(record.span_id)),
            _fixed64(11, record.time_ns),
            _text(12, record.event_name),
        )
    )


# -- values


def _attributes(field: int, attributes: Attributes, depth: int = 0) -> bytes:
    return b"".join(
        _message(field, _text(1, key) + _message(2, _value(value, depth))) for key, value in attributes.items()
    )


def _value(value: AttributeValue, depth: int) -> bytes:
    """The content of an AnyValue: what is chosen is written even when it is its default."""
    if isinstance(value, str):
        return _message(1, value.encode("utf-8", "replace"))
    if isinstance(value, bool):
        return b"\x10\x01" if value else b"\x10\x00"
    if isinstance(value, int):
        fits = -(1 << 63) <= value < 1 << 63
        return b"\x18" + varint(value & (1 << 64) - 1) if fits else _message(1, _digits(value))
    if isinstance(value, float):
        return b"\x21" + _DOUBLE.pack(value)
    if isinstance(value, bytes):
        return _message(7, value)
    if value is None:
        return b""
    if depth >= _DEPTH:
        return _message(1, b"...")
    if isinstance(value, list):
        return _message(5, b"".join(_message(1, _value(item, depth + 1)) for item in value))
    return _message(6, _attributes(1, value, depth + 1))


def _digits(number: int) -> bytes:
    return hex(number).encode()  # decimal digits are refused by Python beyond some thousands


# -- protobuf


def _message(field: int, payload: bytes) -> bytes:
    return varint(field << 3 | 2) + varint(len(payload)) + payload


def _bytes(field: int, data: bytes) -> bytes:
    return _message(field, data) if data else b""


def _text(field: int, text: str) -> bytes:
    return _message(field, text.encode("utf-8", "replace")) if text else b""


def _number(field: int, number: int) -> bytes:
    return varint(field << 3) + varint(number & 0x7FFFFFFF) if number else b""


def _fixed64(field: int, number: int) -> bytes:
    return varint(field << 3 | 1) + _FIXED64.pack(number & (1 << 64) - 1) if number else b""


def _fixed32(field: int, number: int) -> bytes:
    return varint(field << 3 | 5) + _FIXED32.pack(number & 0xFFFFFFFF) if number else b""


def rejected(answer: bytes) -> tuple[int, str]:
    """What an Export response says was not taken: (items, why). (0, "") when all was, or it cannot be read."""
    partial = _fields(answer).get(1)
    if not isinstance(partial, bytes):
        return 0, ""
    found = _fields(partial)
    count, why = found.get(1, 0), found.get(2, b"")
    return count if isinstance(count, int) else 0, why.decode("utf-8", "replace") if isinstance(why, bytes) else ""


def _fields(data: bytes) -> dict[int, int | bytes]:
    """Varints and lengths by field number; {} when something else is met."""
    found: dict[int, int | bytes] = {}
    at = 0
    try:
        while at < len(data):
            key, at = _varint(data, at)
            number, at = _varint(data, at)
            if key & 7 == 2:
                found[key >> 3] = bytes(data[at : at + number])
                at += number
            elif key & 7 == 0:
                found[key >> 3] = number
            else:
                return {}
    except IndexError:
        return {}
    return found


def _varint(data: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        byte = data[at]
        at += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, at
        shift += 7
