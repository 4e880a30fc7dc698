"""Programs that use OpenTelemetry, run in a process of their own with the real recorder; their ring is read back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from aftertrace.model import Value
from aftertrace.wire import records

BEFORE = """
import json, sys
from aftertrace import _native
_native.start(int({level}), ring_bytes=4 << 20, defs_bytes=1 << 20, roots=[{root!r}], libraries=[])
from aftertrace.record import boundaries
boundaries.install()
answers = {{}}
"""

AFTER = """
from aftertrace.record.boundaries.state import ledger as _ledger
answers["report"] = _ledger.lines()
answers["failures"] = _ledger.failures()
answers["refused"] = _native.status()["refused"]
_reader = _native.Reader(_native.ring_fd())
_data = b""
while _found := _reader.poll():
    _data += b"".join(piece for *_, piece in _found)
with open({target!r}, "wb") as _file:
    _file.write(_data)
print(json.dumps(answers, default=str))
"""


@dataclass
class Seen:
    """One span as the ring tells it."""

    name: str
    kind: int
    trace_id: str
    span_id: str
    parent_id: str
    flags: int
    remote: bool
    scope: str
    attributes: dict[str, Any]
    events: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    links: list[tuple[str, str]] = field(default_factory=list)
    status: tuple[int, str] = (0, "")
    ended: bool = False
    set_later: list[str] = field(default_factory=list)  # names, in the order in which they were told


@dataclass
class Run:
    spans: list[Seen]
    logs: list[records.Log]
    answers: dict[str, Any]
    starts: list[str]  # the trace id ("" for none) in which each START of user code was recorded, in order

    def __getitem__(self, name: str) -> Seen:
        found = [span for span in self.spans if span.name == name]
        assert len(found) == 1, (name, [span.name for span in self.spans])
        return found[0]


def plain(value: Value) -> Any:
    return [plain(item) for item in value.items] if value.items else value.scalar


def read(data: bytes) -> tuple[list[Seen], list[records.Log], list[str]]:
    spans: dict[str, Seen] = {}
    logs: list[records.Log] = []
    starts: list[str] = []
    trace = ""
    for record in records.decode(data, base_ticks=0):
        match record:
            case records.Segment():
                trace = record.trace_id
            case records.Start():
                starts.append(trace)
            case records.SpanStart():
                spans[record.span_id] = _seen(record)
            case records.SpanAttr():
                spans[record.span_id].attributes.update({name: plain(value) for name, value in record.attributes})
                spans[record.span_id].set_later += [name for name, _ in record.attributes]
            case records.SpanEventRecord():
                event = (record.name, {name: plain(value) for name, value in record.attributes})
                spans[record.span_id].events.append(event)
            case records.SpanLinkRecord():
                spans[record.span_id].links.append((record.linked_trace_id, record.linked_span_id))
            case records.SpanStatus():
                spans[record.span_id].status = (record.code, record.description)
            case records.SpanName():
                spans[record.span_id].name = record.name
            case records.SpanEnd():
                spans[record.span_id].ended = True
            case records.Log():
                logs.append(record)
    return list(spans.values()), logs, starts


def _seen(record: records.SpanStart) -> Seen:
    return Seen(
        record.name,
        record.span_kind,
        record.trace_id,
        record.span_id,
        record.parent_id,
        record.trace_flags,
        record.remote,
        record.scope,
        {name: plain(value) for name, value in record.attributes},
    )


type Runner = Callable[..., Run]
