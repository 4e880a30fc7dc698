"""Rows -> model: the way back from ``rows``."""

from __future__ import annotations

import json
from typing import Any

from aftertrace.model import Keep, LogRecord, Resource, Span, SpanKind, StatusCode
from aftertrace.wire.attributes import from_json, loads
from aftertrace.wire.bundle import events_from_json, links_from_json

type Row = dict[str, Any]

# Of one trace, or of several: put in the place of the other.
OF_MANY = "trace_id IN (SELECT toFixedString(unhex(arrayJoin({traces:Array(String)})), 16))"

SPANS = f"""
SELECT trace_id, span_id, parent_id, name, kind, start_ns, end_ns, resource, status, status_message, attributes, events,
    links, scope, trace_state, flags
FROM spans FINAL WHERE {OF_MANY} ORDER BY start_ns, span_id
"""
LOGS = f"""
SELECT trace_id, time_ns, span_id, severity, resource, body, event_name, attributes, scope
FROM logs FINAL WHERE {OF_MANY} ORDER BY time_ns, digest
"""
PIECES = f"""
SELECT trace_id, recording_id, piece, pieces, process_uid, service, content
FROM recordings FINAL WHERE {OF_MANY} ORDER BY recording_id, piece
"""
KEEPS = f"""
SELECT trace_id, trigger, process_uid, time_ns, reason, service, attributes, role, route, group_id, title, weight,
    of_trace, version
FROM kept FINAL WHERE {OF_MANY} ORDER BY time_ns, trigger, process_uid
"""
SOURCES = """
SELECT sha256, content FROM sources FINAL
WHERE sha256 IN (SELECT toFixedString(unhex(arrayJoin({hashes:Array(String)})), 32))
"""


def hex_id(raw: bytes) -> str:
    """An id's digits; "" for the zeros that say: none."""
    return raw.hex() if any(raw) else ""


class Resources:
    """One Resource for each different text."""

    def __init__(self) -> None:
        self._known: dict[str, Resource] = {}

    def get(self, text: str) -> Resource:
        if text not in self._known:
            self._known[text] = Resource(loads(text))
        return self._known[text]


def span(row: Row, resources: Resources) -> Span:
    """A row of SPANS."""
    return Span(
        trace_id=row["trace_id"].hex(),
        span_id=row["span_id"].hex(),
        parent_id=hex_id(row["parent_id"]),
        name=row["name"],
        kind=SpanKind(row["kind"]),
        start_ns=row["start_ns"],
        end_ns=row["end_ns"],
        resource=resources.get(row["resource"]),
        status=StatusCode(row["status"]),
        status_message=row["status_message"],
        attributes=loads(row["attributes"]),
        events=events_from_json(json.loads(row["events"])),
        links=links_from_json(json.loads(row["links"])),
        scope=row["scope"],
        trace_state=row["trace_state"],
        flags=row["flags"],
    )


def log(row: Row, resources: Resources) -> LogRecord:
    """A row of LOGS."""
    return LogRecord(
        time_ns=row["time_ns"],
        severity=row["severity"],
        body=from_json(json.loads(row["body"])[0]),
        resource=resources.get(row["resource"]),
        trace_id=hex_id(row["trace_id"]),
        span_id=hex_id(row["span_id"]),
        event_name=row["event_name"],
        attributes=loads(row["attributes"]),
        scope=row["scope"],
    )


def keep(row: Row) -> Keep:
    """A row of KEEPS."""
    return Keep(
        trace_id=row["trace_id"].hex(),
        trigger=row["trigger"],
        reason=row["reason"],
        service=row["service"],
        process_uid=row["process_uid"].hex(),
        time_ns=row["time_ns"],
        attributes=loads(row["attributes"]),
        role=row["role"],
        route=row["route"],
        group=row["group_id"],
        title=row["title"],
        weight=row["weight"],
        of=hex_id(row["of_trace"]),
        version=row["version"],
    )
