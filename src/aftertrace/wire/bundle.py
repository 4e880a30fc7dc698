"""Everything known about one trace, as one piece of data: the store gives it out, ``step`` reads it at its side.

A bundle is zstd-compressed JSON; ``version`` says which. No store and no server is needed to read one.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from aftertrace.errors import BadRecording, UnknownVersion
from aftertrace.model import Keep, LogRecord, Resource, Span, SpanEvent, SpanKind, SpanLink, StatusCode
from aftertrace.wire import zstd
from aftertrace.wire.attributes import from_json, map_from_json, to_json

FORMAT = "aftertrace.bundle"
VERSION = 1
MEDIA_TYPE = "application/vnd.aftertrace.bundle+zstd"
LIMIT = 1 << 30  # bytes of JSON that a reader takes


@dataclass(frozen=True, slots=True)
class AgentPart:
    """What one agent had of a trace."""

    agent: str
    host: str
    services: list[str]  # that it recorded when it was asked
    shipped: list[str] = field(default_factory=list)  # services of which something was shipped
    overwritten: list[str] = field(default_factory=list)  # services of which something had left its memory
    horizon_s: float = 0.0  # how far back its memory reached
    answered_s: float = -1.0  # after the trace was marked; below 0: it has not answered


@dataclass(frozen=True, slots=True)
class Coverage:
    """How many agents were asked for a trace, had nothing, did not answer; ``agents``: those others, at most 64."""

    asked: int
    nothing: int
    silent: int
    agents: list[AgentPart]  # that had something, then those that did not answer


@dataclass(frozen=True, slots=True)
class TraceData:
    """One trace as it was received. ``recordings`` are whole ones, decompressed (docs/format.md)."""

    trace_id: str
    spans: list[Span] = field(default_factory=list)  # in start order
    logs: list[LogRecord] = field(default_factory=list)  # in time order
    recordings: list[bytes] = field(default_factory=list)
    sources: dict[str, str] = field(default_factory=dict)  # sha256 of the file's bytes -> its text
    keeps: list[Keep] = field(default_factory=list)  # in time order
    problems: list[str] = field(default_factory=list)  # what is missing of it, in sentences
    coverage: Coverage | None = None  # None: no agent was asked


@dataclass(frozen=True, slots=True)
class Trigger:
    """Why a kept trace was kept, by one process."""

    trigger: str
    reason: str
    service: str
    time_ns: int


@dataclass(frozen=True, slots=True)
class Group:
    """Failures that are one: the same exception from the same place on the same route."""

    id: str  # 16 hex digits
    title: str
    count: float  # weighted: what the kept ones stand for
    kept: int  # requests
    first_ns: int
    last_ns: int
    trend: list[float]  # weighted counts, of as many equal parts of the time that was asked for
    services: list[str]  # that saw it first
    routes: list[str]
    versions: list[str]  # of those services
    newest: str  # trace id


@dataclass(frozen=True, slots=True)
class KeptTrace:
    """A line of ``ls``."""

    trace_id: str
    time_ns: int  # start of its first span; of the first keep when there are no spans
    name: str  # root span's name, "" without spans
    services: list[str]  # in the order in which they were reached
    status: str  # unset, ok, error: the root span's
    http_status: int  # the root span's, 0: none
    duration_ns: int  # first start to last end; 0 without spans
    spans: int
    error: str  # type of the exception seen first, "" without one
    triggers: list[Trigger]  # in time order


@dataclass(frozen=True, slots=True)
class Candidate:
    """A kept request that may hold what was asked for; ``time_ns``: when it was first kept."""

    trace_id: str
    time_ns: int


def span_to_json(span: Span, resource: int) -> dict[str, Any]:
    """A span; ``resource`` is its index in the bundle's list of resources."""
    return {
        "trace_id": span.trace_id,
        "span_id": span.span_id,
        "parent_id": span.parent_id,
        "name": span.name,
        "kind": int(span.kind),
        "start_ns": span.start_ns,
        "end_ns": span.end_ns,
        "resource": resource,
        "status": int(span.status),
        "status_message": span.status_message,
        "attributes": to_json(span.attributes),
        "events": events_to_json(span),
        "links": links_to_json(span),
        "scope": span.scope,
        "trace_state": span.trace_state,
        "flags": span.flags,
    }


def events_to_json(span: Span) -> list[Any]:
    """``[time_ns, name, attributes]`` for each event."""
    return [[event.time_ns, event.name, to_json(event.attributes)] for event in span.events]


def links_to_json(span: Span) -> list[Any]:
    """``[trace_id, span_id, attributes]`` for each link."""
    return [[link.trace_id, link.span_id, to_json(link.attributes)] for link in span.links]


def events_from_json(data: list[Any]) -> tuple[SpanEvent, ...]:
    return tuple(SpanEvent(time_ns, name, map_from_json(attributes)) for time_ns, name, attributes in data)


def links_from_json(data: list[Any]) -> tuple[SpanLink, ...]:
    return tuple(SpanLink(trace_id, span_id, map_from_json(attributes)) for trace_id, span_id, attributes in data)


def _span(data: dict[str, Any], resources: list[Resource]) -> Span:
    return Span(
        trace_id=data["trace_id"],
        span_id=data["span_id"],
        parent_id=data["parent_id"],
        name=data["name"],
        kind=SpanKind(data["kind"]),
        start_ns=data["start_ns"],
        end_ns=data["end_ns"],
        resource=resources[data["resource"]],
        status=StatusCode(data["status"]),
        status_message=data["status_message"],
        attributes=map_from_json(data["attributes"]),
        events=events_from_json(data["events"]),
        links=links_from_json(data["links"]),
        scope=data["scope"],
        trace_state=data["trace_state"],
        flags=data["flags"],
    )


def _log_to_json(log: LogRecord, resource: int) -> dict[str, Any]:
    return {
        "time_ns": log.time_ns,
        "severity": log.severity,
        "body": to_json(log.body),
        "resource": resource,
        "trace_id": log.trace_id,
        "span_id": log.span_id,
        "event_name": log.event_name,
        "attributes": to_json(log.attributes),
        "scope": log.scope,
    }


def _log(data: dict[str, Any], resources: list[Resource]) -> LogRecord:
    plain = {key: data[key] for key in ("time_ns", "severity", "trace_id", "span_id", "event_name", "scope")}
    return LogRecord(
        body=from_json(data["body"]),
        resource=resources[data["resource"]],
        attributes=map_from_json(data["attributes"]),
        **plain,
    )


def _keep_to_json(keep: Keep) -> dict[str, Any]:
    return {**asdict(keep), "attributes": to_json(keep.attributes)}


def _keep(data: dict[str, Any]) -> Keep:
    return Keep(**{**data, "attributes": map_from_json(data["attributes"])})


def coverage_to_json(coverage: Coverage) -> dict[str, Any]:
    return asdict(coverage)


def coverage_from_json(data: Mapping[str, Any]) -> Coverage:
    return Coverage(**{**data, "agents": [AgentPart(**one) for one in data["agents"]]})


class _Resources:
    """Each different resource once."""

    def __init__(self) -> None:
        self.written: list[Any] = []
        self._known: dict[str, int] = {}

    def index(self, resource: Resource) -> int:
        data = to_json(resource.attributes)
        key = json.dumps(data, sort_keys=True)
        if key not in self._known:
            self._known[key] = len(self.written)
            self.written.append(data)
        return self._known[key]


def dump(trace: TraceData) -> bytes:
    """The bundle of one trace."""
    resources = _Resources()
    data = {
        "format": FORMAT,
        "version": VERSION,
        "trace_id": trace.trace_id,
        "spans": [span_to_json(span, resources.index(span.resource)) for span in trace.spans],
        "logs": [_log_to_json(log, resources.index(log.resource)) for log in trace.logs],
        "keeps": [_keep_to_json(keep) for keep in trace.keeps],
        "recordings": [base64.b64encode(recording).decode("ascii") for recording in trace.recordings],
        "sources": trace.sources,
        "problems": trace.problems,
        "coverage": coverage_to_json(trace.coverage) if trace.coverage is not None else None,
        "resources": resources.written,
    }
    return zstd.compress(json.dumps(data, separators=(",", ":")).encode())


def load(data: bytes) -> TraceData:
    """The trace in a bundle. Raises BadRecording (cut, not a bundle), UnknownVersion."""
    try:
        return _read(_content(data))
    except (ValueError, OverflowError, KeyError, TypeError, IndexError, AttributeError, RecursionError) as error:
        raise BadRecording(
            "bad-bundle", f"This is not a whole bundle: {_say(error)}.", "Fetch it again from the server."
        ) from None


def _content(data: bytes) -> dict[str, Any]:
    content = json.loads(zstd.decompress(data, LIMIT))
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise ValueError("it does not say that it is one")
    if content["version"] != VERSION:
        raise _version(content["version"])
    return content


def _version(found: Any) -> UnknownVersion:
    return UnknownVersion(
        "bundle-version",
        f"The bundle has version {found!r}; this aftertrace reads version {VERSION}.",
        "Use the same release of aftertrace here as on the server.",
    )


def _say(error: Exception) -> str:
    return f"{error.args[0]} is missing" if isinstance(error, KeyError) else str(error) or type(error).__name__


def _read(content: Mapping[str, Any]) -> TraceData:
    resources = [Resource(map_from_json(attributes)) for attributes in content["resources"]]

    return TraceData(
        trace_id=content["trace_id"],
        spans=[_span(span, resources) for span in content["spans"]],
        logs=[_log(log, resources) for log in content["logs"]],
        recordings=[base64.b64decode(recording, validate=True) for recording in content["recordings"]],
        sources=dict(content["sources"]),
        keeps=[_keep(keep) for keep in content["keeps"]],
        problems=list(content["problems"]),
        coverage=coverage_from_json(content["coverage"]) if content.get("coverage") else None,
    )
