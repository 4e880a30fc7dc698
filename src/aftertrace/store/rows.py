"""Model -> Arrow tables, column by column as in ``sql/``."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from aftertrace.model import Keep, LogRecord, Resource, Span
from aftertrace.wire.attributes import dump_list, dumps, to_json
from aftertrace.wire.bundle import events_to_json, links_to_json

_NO_SPAN = bytes(8)
_NO_TRACE = bytes(16)
_ID16, _ID8 = pa.binary(16), pa.binary(8)


@dataclass(frozen=True, slots=True)
class Piece:
    """One piece of a recording; ids are hex digits."""

    trace_id: str
    recording_id: str
    piece: int
    pieces: int
    process_uid: str
    service: str
    content: bytes


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A source as it travels: ``content`` is zstd of the file's bytes, ``sha256`` (hex) is theirs."""

    sha256: str
    path: str
    content: bytes


class _Resources:
    """The JSON of each resource once: the spans of a request share theirs."""

    def __init__(self) -> None:
        self._known: dict[int, str] = {}

    def text(self, resource: Resource) -> str:
        text = self._known.get(id(resource))
        if text is None:
            text = self._known[id(resource)] = dumps(resource.attributes)
        return text


def spans(items: Sequence[Span]) -> pa.Table:
    """Table ``spans``."""
    resources = _Resources()
    columns = {
        "trace_id": pa.array([bytes.fromhex(span.trace_id) for span in items], _ID16),
        "span_id": pa.array([bytes.fromhex(span.span_id) for span in items], _ID8),
        "parent_id": pa.array([bytes.fromhex(span.parent_id) or _NO_SPAN for span in items], _ID8),
        "name": pa.array([span.name for span in items], pa.string()),
        "kind": pa.array([int(span.kind) for span in items], pa.uint8()),
        "start_ns": pa.array([span.start_ns for span in items], pa.uint64()),
        "end_ns": pa.array([span.end_ns for span in items], pa.uint64()),
        "service": pa.array([span.service for span in items], pa.string()),
        "resource": pa.array([resources.text(span.resource) for span in items], pa.string()),
        "status": pa.array([int(span.status) for span in items], pa.uint8()),
        "status_message": pa.array([span.status_message for span in items], pa.string()),
        "attributes": pa.array([dumps(span.attributes) for span in items], pa.string()),
        "events": pa.array([dump_list(events_to_json(span)) for span in items], pa.string()),
        "links": pa.array([dump_list(links_to_json(span)) for span in items], pa.string()),
        "scope": pa.array([span.scope for span in items], pa.string()),
        "trace_state": pa.array([span.trace_state for span in items], pa.string()),
        "flags": pa.array([span.flags for span in items], pa.uint32()),
        "http_status": pa.array([_http_status(span) for span in items], pa.uint16()),
        "route": pa.array([_text(span.attributes.get("http.route")) for span in items], pa.string()),
        "exception_type": pa.array([_exception_type(span) for span in items], pa.string()),
    }
    return pa.table(columns)


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _http_status(span: Span) -> int:
    """Semantic conventions: ``http.response.status_code``; before 1.20 ``http.status_code``."""
    code = span.attributes.get("http.response.status_code", span.attributes.get("http.status_code"))
    return code if isinstance(code, int) and 0 <= code < 1000 else 0


def _exception_type(span: Span) -> str:
    for event in span.events:
        if event.name == "exception":
            return _text(event.attributes.get("exception.type"))
    return ""


def logs(items: Sequence[LogRecord]) -> pa.Table:
    """Table ``logs``."""
    resources = _Resources()
    texts = [(resources.text(log.resource), dump_list([to_json(log.body)]), dumps(log.attributes)) for log in items]
    columns = {
        "trace_id": pa.array([bytes.fromhex(log.trace_id) or _NO_TRACE for log in items], _ID16),
        "time_ns": pa.array([log.time_ns for log in items], pa.uint64()),
        "digest": pa.array(_digests(items, texts), _ID16),
        "span_id": pa.array([bytes.fromhex(log.span_id) or _NO_SPAN for log in items], _ID8),
        "severity": pa.array([min(max(log.severity, 0), 255) for log in items], pa.uint8()),
        "service": pa.array([log.resource.service for log in items], pa.string()),
        "resource": pa.array([resource for resource, _, _ in texts], pa.string()),
        "body": pa.array([body for _, body, _ in texts], pa.string()),
        "event_name": pa.array([log.event_name for log in items], pa.string()),
        "attributes": pa.array([attributes for _, _, attributes in texts], pa.string()),
        "scope": pa.array([log.scope for log in items], pa.string()),
    }
    return pa.table(columns)


def _digests(items: Sequence[LogRecord], texts: list[tuple[str, str, str]]) -> list[bytes]:
    seen: Counter[bytes] = Counter()
    digests: list[bytes] = []
    for log, parts in zip(items, texts, strict=True):
        identity = (log.trace_id, log.span_id, log.time_ns, log.severity, log.event_name, log.scope, *parts)
        content = hashlib.blake2b(repr(identity).encode(), digest_size=16).digest()
        again = seen[content].to_bytes(8, "little")
        seen[content] += 1
        digests.append(hashlib.blake2b(content + again, digest_size=16).digest())
    return digests


def recordings(items: Sequence[Piece]) -> pa.Table:
    """Table ``recordings``."""
    columns = {
        "trace_id": pa.array([bytes.fromhex(piece.trace_id) for piece in items], _ID16),
        "recording_id": pa.array([bytes.fromhex(piece.recording_id) for piece in items], _ID16),
        "piece": pa.array([piece.piece for piece in items], pa.uint32()),
        "pieces": pa.array([piece.pieces for piece in items], pa.uint32()),
        "process_uid": pa.array([bytes.fromhex(piece.process_uid) for piece in items], _ID16),
        "service": pa.array([piece.service for piece in items], pa.string()),
        "content": pa.array([piece.content for piece in items], pa.binary()),
    }
    return pa.table(columns)


def sources(items: Sequence[SourceFile]) -> pa.Table:
    """Table ``sources``."""
    columns = {
        "sha256": pa.array([bytes.fromhex(source.sha256) for source in items], pa.binary(32)),
        "path": pa.array([source.path for source in items], pa.string()),
        "content": pa.array([source.content for source in items], pa.binary()),
    }
    return pa.table(columns)


def kept(items: Sequence[Keep]) -> pa.Table:
    """Table ``kept``."""
    columns = {
        "trace_id": pa.array([bytes.fromhex(keep.trace_id) for keep in items], _ID16),
        "trigger": pa.array([keep.trigger for keep in items], pa.string()),
        "process_uid": pa.array([bytes.fromhex(keep.process_uid) for keep in items], _ID16),
        "time_ns": pa.array([keep.time_ns for keep in items], pa.uint64()),
        "reason": pa.array([keep.reason for keep in items], pa.string()),
        "service": pa.array([keep.service for keep in items], pa.string()),
        "attributes": pa.array([dumps(keep.attributes) for keep in items], pa.string()),
        "role": pa.array([keep.role for keep in items], pa.string()),
        "route": pa.array([keep.route for keep in items], pa.string()),
        "group_id": pa.array([keep.group for keep in items], pa.string()),
        "title": pa.array([keep.title for keep in items], pa.string()),
        "weight": pa.array([keep.weight for keep in items], pa.float64()),
        "of_trace": pa.array([bytes.fromhex(keep.of) or _NO_TRACE for keep in items], _ID16),
        "version": pa.array([keep.version for keep in items], pa.string()),
    }
    return pa.table(columns)
