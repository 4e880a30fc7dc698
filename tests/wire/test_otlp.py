"""OTLP that we write: the official library reads it, and our own receiver gives back what went in."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest, ExportLogsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from aftertrace.model import LogRecord, Resource, Span, SpanEvent, SpanKind, SpanLink, StatusCode
from aftertrace.receive import otlp as receiver
from aftertrace.receive.signals import Outcome
from aftertrace.wire import otlp

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
VALUES = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(1 << 63), (1 << 63) - 1),
        st.floats(allow_nan=False),
        TEXT,
        st.binary(max_size=12),
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXT, inner, max_size=3)),
    max_leaves=8,
)
ATTRIBUTES = st.dictionaries(TEXT, VALUES, max_size=4)
TIMES = st.integers(0, (1 << 64) - 1)
TRACES = st.binary(min_size=16, max_size=16).filter(any).map(bytes.hex)
SPANS = st.binary(min_size=8, max_size=8).filter(any).map(bytes.hex)
RESOURCES = st.builds(Resource, ATTRIBUTES)


@st.composite
def spans(draw: st.DrawFn) -> Span:
    return Span(
        trace_id=draw(TRACES),
        span_id=draw(SPANS),
        parent_id=draw(st.just("") | SPANS),
        name=draw(TEXT),
        kind=draw(st.sampled_from(SpanKind)),
        start_ns=draw(TIMES),
        end_ns=draw(TIMES),
        resource=draw(RESOURCES),
        status=draw(st.sampled_from(StatusCode)),
        status_message=draw(TEXT),
        attributes=draw(ATTRIBUTES),
        events=tuple(draw(st.lists(st.builds(SpanEvent, TIMES, TEXT, ATTRIBUTES), max_size=2))),
        links=tuple(draw(st.lists(st.builds(SpanLink, TRACES, SPANS, ATTRIBUTES), max_size=2))),
        scope=draw(TEXT),
        trace_state=draw(TEXT),
        flags=draw(st.integers(0, (1 << 32) - 1)),
    )


LOGS = st.builds(
    LogRecord,
    TIMES,
    st.integers(0, 24),
    VALUES,
    RESOURCES,
    st.just("") | TRACES,
    st.just("") | SPANS,
    TEXT,
    ATTRIBUTES,
    TEXT,
)


class Received:
    """What the server reads of one request."""

    def __init__(self, read: Callable[[bytes, Outcome, receiver.Parse], Iterable[Any]], body: bytes) -> None:
        self.outcome = Outcome()
        self.items = list(read(body, self.outcome, receiver.parse))


def in_any_order[Item](items: list[Item]) -> list[str]:
    return sorted(map(repr, items))


@given(st.lists(spans(), max_size=4))
def test_the_receiver_reads_the_spans_that_were_written(items: list[Span]) -> None:
    received = Received(receiver.spans, otlp.encode_traces(items))
    assert received.outcome.problems == []
    assert in_any_order(received.items) == in_any_order(items)


@given(st.lists(LOGS, max_size=4))
def test_the_receiver_reads_the_logs_that_were_written(items: list[LogRecord]) -> None:
    received = Received(receiver.logs, otlp.encode_logs(items))
    assert received.outcome.problems == []
    assert in_any_order(received.items) == in_any_order(items)


@given(st.lists(spans(), max_size=3))
def test_the_official_library_knows_every_field(items: list[Span]) -> None:
    request = ExportTraceServiceRequest.FromString(otlp.encode_traces(items))
    request.DiscardUnknownFields()
    assert in_any_order(Received(receiver.spans, request.SerializeToString()).items) == in_any_order(items)


def _span(resource: Resource, scope: str, name: str) -> Span:
    return Span("ab" * 16, "cd" * 8, "", name, SpanKind.SERVER, 1, 2, resource, scope=scope)


def test_spans_are_grouped_by_resource_and_scope() -> None:
    one, same, other = Resource({"service.name": "a"}), Resource({"service.name": "a"}), Resource({"service.name": "b"})
    items = [_span(one, "x", "1"), _span(other, "x", "2"), _span(same, "y", "3"), _span(one, "x", "4")]
    request = ExportTraceServiceRequest.FromString(otlp.encode_traces(items))
    groups = [
        [(scope.scope.name, [span.name for span in scope.spans]) for scope in group.scope_spans]
        for group in request.resource_spans
    ]
    assert groups == [[("x", ["1", "4"]), ("y", ["3"])], [("x", ["2"])]]


def test_a_log_says_when_it_was_observed() -> None:
    record = LogRecord(5, 9, "hello", Resource({}), event_name="aftertrace.kept")
    (group,) = ExportLogsServiceRequest.FromString(otlp.encode_logs([record])).resource_logs
    (written,) = group.scope_logs[0].log_records
    assert (written.time_unix_nano, written.observed_time_unix_nano, written.body.string_value) == (5, 5, "hello")


def test_what_otlp_has_no_word_for() -> None:
    deep: list[object] = []
    for _ in range(200):
        deep = [deep]
    attributes = {"lone": "a\ud800b", "big": 1 << 70, "vast": 1 << 200_000, "deep": deep}
    span = dataclasses.replace(_span(Resource({}), "", "n"), attributes=attributes)
    (received,) = Received(receiver.spans, otlp.encode_traces([span])).items
    assert received.attributes["lone"] == "a?b"
    assert received.attributes["big"] == hex(1 << 70)
    assert len(received.attributes["vast"]) == 50_003


def test_nothing_is_an_empty_request() -> None:
    assert otlp.encode_traces([]) == otlp.encode_logs([]) == b""


def test_what_a_server_did_not_take() -> None:
    answer = ExportTraceServiceResponse()
    assert otlp.rejected(answer.SerializeToString()) == (0, "")
    answer.partial_success.rejected_spans = 300
    answer.partial_success.error_message = "a span id is all zero"
    assert otlp.rejected(answer.SerializeToString()) == (300, "a span id is all zero")
    logs = ExportLogsServiceResponse()
    logs.partial_success.error_message = "only a warning"
    assert otlp.rejected(logs.SerializeToString()) == (0, "only a warning")


@pytest.mark.parametrize("answer", [b"\x0a", b"\xff" * 30, b"\x0a\x05\x08", b"\x09abc", b"{}"])
def test_an_answer_that_is_no_response(answer: bytes) -> None:
    assert otlp.rejected(answer) == (0, "")


@given(st.binary(max_size=40))
def test_any_answer_can_be_read(answer: bytes) -> None:
    otlp.rejected(answer)
