"""A trace without its values: types, sizes and keyed hashes stay, so equal values of one file are seen to be equal.

What stays as it is: None, names (of services, spans, routes, files, functions, variables, attributes, classes), times,
line numbers, ids, HTTP methods and status codes, kinds of exceptions, and the source text.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterator
from dataclasses import fields, replace
from typing import Any

from aftertrace.model import Attributes, AttributeValue, Keep, LogRecord, Missing, Resource, Span, Value, ValueKind
from aftertrace.wire import recording, records, values
from aftertrace.wire.bundle import TraceData
from aftertrace.wire.kinds import KeepRecord, SpanStatus
from aftertrace.wire.recording import Slice

_DIGITS = 8  # of a hash
_KEPT = ("NoneType", "ellipsis", "NotImplementedType")
_TEXTS: dict[type[records.Record], str] = {SpanStatus: "description", KeepRecord: "reason"}
# Attributes whose values are names or numbers of the conventions, not the program's data.
_PLAIN = (
    "http.request.method", "http.response.status_code", "http.route", "http.status_code", "http.method",
    "db.system.name", "db.operation.name", "messaging.system", "messaging.operation.type", "network.protocol.version",
    "error.type", "exception.type", "event.name", "code.file.path", "code.line.number", "code.function.name",
)  # fmt: skip
_PLAIN_PREFIXES = ("service.", "telemetry.", "process.runtime.", "process.pid", "vcs.", "deployment.", "aftertrace.")


class Shaper:
    """``key``: other values for another one; nobody who has only the file can try values out."""

    def __init__(self, key: bytes | None = None) -> None:
        self._key = key or secrets.token_bytes(16)

    def trace(self, trace: TraceData) -> TraceData:
        """Raises BadRecording: a recording that cannot be read cannot be cleaned."""
        return replace(
            trace,
            spans=[self._span(span) for span in trace.spans],
            logs=[self._log(log) for log in trace.logs],
            keeps=[self._keep(keep) for keep in trace.keeps],
            recordings=[self._recording(data) for data in trace.recordings],
            problems=list(trace.problems),
        )

    def value(self, value: Value) -> Value:
        match value.kind:
            case ValueKind.SCALAR if value.type in _KEPT:
                return value
            case ValueKind.SCALAR | ValueKind.TEMPORAL | ValueKind.RANGE:
                size = f" {abs(value.size)}" if value.size is not None else ""
                return Value(ValueKind.MISSING, f"{value.type}{size} {self._mark(value)}", missing=Missing.SHAPE)
            case _:
                return replace(
                    value,
                    items=tuple(self.value(item) for item in value.items),
                    entries=tuple((self.value(key), self.value(item)) for key, item in value.entries),
                    attributes=tuple((name, self.value(item)) for name, item in value.attributes),
                )

    def text(self, text: str) -> str:
        return f"str {len(text)} {self._hash(text.encode('utf-8', 'surrogatepass'))}" if text else ""

    # -- spans, logs, keeps

    def _span(self, span: Span) -> Span:
        return replace(
            span,
            resource=Resource(self._attributes(span.resource.attributes)),
            status_message=self.text(span.status_message),
            attributes=self._attributes(span.attributes),
            events=tuple(replace(one, attributes=self._attributes(one.attributes)) for one in span.events),
            links=tuple(replace(one, attributes=self._attributes(one.attributes)) for one in span.links),
            trace_state="",
        )

    def _log(self, log: LogRecord) -> LogRecord:
        return replace(
            log,
            body=self._plain(log.body),
            resource=Resource(self._attributes(log.resource.attributes)),
            attributes=self._attributes(log.attributes),
        )

    def _keep(self, keep: Keep) -> Keep:
        kind, colon, rest = keep.reason.partition(":")
        is_exception = bool(colon) and kind.isidentifier()
        shaped = f"{kind}: {self.text(rest)}" if is_exception else self.text(keep.reason)
        title = keep.title if is_exception and keep.title.startswith(f"{kind} in ") else self.text(keep.title)
        return replace(keep, reason=shaped, title=title, attributes=self._attributes(keep.attributes))

    def _attributes(self, attributes: Attributes) -> Attributes:
        return {
            name: value if name in _PLAIN or name.startswith(_PLAIN_PREFIXES) else self._plain(value)
            for name, value in attributes.items()
        }

    def _plain(self, value: AttributeValue) -> AttributeValue:
        match value:
            case None:
                return None
            case str():
                return self.text(value)
            case list():
                return [self._plain(item) for item in value]
            case dict():
                return {self.text(name): self._plain(item) for name, item in value.items()}
            case _:
                return f"{type(value).__name__} {self._hash(repr(value).encode())}"

    # -- recordings

    def _recording(self, data: bytes) -> bytes:
        found = recording.read(data)
        meta = replace(found.meta, resource=self._attributes(found.meta.resource))
        slices = [Slice(one.position, b"".join(self._records(one.records))) for one in found.slices]
        return recording.write(replace(found, meta=meta, slices=slices))

    def _records(self, data: bytes) -> Iterator[bytes]:
        last = 0
        for record in records.decode(data, base_ticks=0):
            yield records.encode(self._record(record), last)
            last = record.ticks

    def _record(self, record: records.Record) -> records.Record:
        changed = {
            one.name: shaped
            for one in fields(record)
            if (shaped := self._field(given := getattr(record, one.name))) is not given
        }
        name = _TEXTS.get(type(record))
        if name is not None:
            changed[name] = self.text(getattr(record, name))
        return replace(record, **changed)

    def _field(self, given: Any) -> Any:
        """Values, slots and attributes, however deep; anything else is as it was."""
        if isinstance(given, Value):
            return self.value(given)
        if isinstance(given, tuple) and given:
            return tuple(self._field(one) for one in given)
        return given

    def _mark(self, value: Value) -> str:
        return self._hash(values.encode(replace(value, identity=0)))

    def _hash(self, data: bytes) -> str:
        return "#" + hashlib.blake2b(data, key=self._key, digest_size=_DIGITS // 2).hexdigest()
