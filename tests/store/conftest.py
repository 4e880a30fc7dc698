"""A real store. chDB takes one directory per process, so a module's tests share one and use traces of their own."""

import itertools
import secrets

import pytest

from aftertrace import store as stores
from aftertrace.model import LogRecord, Resource, Span, SpanKind

NOW = 1_700_000_000_000_000_000


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    opened = stores.open(tmp_path_factory.mktemp("store"))
    yield opened
    opened.close()


@pytest.fixture
def trace_id():
    return secrets.token_hex(16)


class Maker:
    """Spans and records of one trace, each a little later than the one before."""

    def __init__(self, trace_id: str) -> None:
        self.trace_id = trace_id
        self._ticks = itertools.count(1)

    def span(self, name: str, service: str = "orders", parent: str = "", **fields) -> Span:
        start = NOW + next(self._ticks) * 1_000_000
        known = {
            "trace_id": self.trace_id,
            "span_id": secrets.token_hex(8),
            "parent_id": parent,
            "name": name,
            "kind": SpanKind.INTERNAL,
            "start_ns": start,
            "end_ns": start + 500_000,
            "resource": Resource({"service.name": service}),
        }
        return Span(**{**known, **fields})

    def record(self, event_name: str, body, attributes, service: str = "orders", **fields) -> LogRecord:
        known = {"time_ns": NOW + next(self._ticks), "severity": 0, "trace_id": self.trace_id}
        resource = Resource({"service.name": service})
        return LogRecord(
            **{**known, **fields}, body=body, resource=resource, event_name=event_name, attributes=attributes
        )

    def keep(self, trigger: str = "server-error", reason: str = "500", service: str = "orders", **fields) -> LogRecord:
        attributes = {"trigger": trigger, "reason": reason, "process_uid": "11" * 16}
        ours = {f"aftertrace.keep.{name}": value for name, value in attributes.items()}
        return self.record("aftertrace.kept", None, ours, service, **fields)

    def piece(self, content: bytes, piece: int, pieces: int, recording_id: str = "22" * 16, **attributes) -> LogRecord:
        known = {"id": recording_id, "piece": piece, "pieces": pieces, "process_uid": "11" * 16, **attributes}
        ours = {f"aftertrace.recording.{name}": value for name, value in known.items()}
        return self.record("aftertrace.recording", content, ours)


@pytest.fixture
def make(trace_id):
    return Maker(trace_id)
