"""OTLP protobuf becomes the model, exactly; what the specification calls invalid is rejected item by item."""

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span as ProtoSpan

from aftertrace.errors import BadOtlp
from aftertrace.model import LogRecord, Resource, Span, SpanEvent, SpanKind, SpanLink, StatusCode
from aftertrace.receive import otlp
from aftertrace.receive.signals import Outcome

TRACE, SPAN = bytes(range(16)), bytes(range(1, 9))


class Read:
    """What one request held."""

    def __init__(self, read, body: bytes) -> None:
        self.outcome = Outcome()
        self.items = list(read(body, self.outcome, otlp.parse))


def spans(body: bytes) -> Read:
    return Read(otlp.spans, body)


def logs(body: bytes) -> Read:
    return Read(otlp.logs, body)


def any_value(value: object) -> AnyValue:
    out = AnyValue()
    match value:
        case None:
            pass
        case bool():
            out.bool_value = value
        case str():
            out.string_value = value
        case int():
            out.int_value = value
        case float():
            out.double_value = value
        case bytes():
            out.bytes_value = value
        case list():
            out.array_value.SetInParent()
            out.array_value.values.extend(any_value(item) for item in value)
        case dict():
            out.kvlist_value.SetInParent()
            out.kvlist_value.values.extend(pairs(value))
    return out


def pairs(attributes: dict) -> list[KeyValue]:
    return [KeyValue(key=key, value=any_value(value)) for key, value in attributes.items()]


def request(*spans: ProtoSpan) -> bytes:
    out = ExportTraceServiceRequest()
    group = out.resource_spans.add()
    group.resource.attributes.extend(pairs({"service.name": "orders"}))
    scope = group.scope_spans.add()
    scope.scope.name = "tests"
    scope.spans.extend(spans)
    return out.SerializeToString()


ATTRIBUTES = {
    "s": "é",
    "i": -(2**63),
    "big": 2**63 - 1,
    "f": 1.0,
    "t": True,
    "zero": False,
    "b": b"\xff\x00",
    "none": None,
    "list": ["a", 1, 2.5, [b"x"], None],
    "map": {"x": {"y": [1]}},
    "empty": [],
    "emptymap": {},
    "emptystr": "",
}


def test_a_span_arrives_whole():
    proto = ProtoSpan(
        trace_id=TRACE,
        span_id=SPAN,
        parent_span_id=SPAN[::-1],
        name="GET /",
        kind=2,
        start_time_unix_nano=2**64 - 1,
        end_time_unix_nano=7,
        attributes=pairs(ATTRIBUTES),
        trace_state="a=b",
        flags=0x301,
    )
    proto.status.code, proto.status.message = 2, "no"
    proto.events.add(time_unix_nano=3, name="exception", attributes=pairs({"exception.type": "KeyError"}))
    proto.links.add(trace_id=TRACE[::-1], span_id=SPAN, attributes=pairs({"k": 1}))
    received = spans(request(proto))
    assert (received.outcome.rejected, received.outcome.problems) == (0, [])
    (span,) = received.items
    assert span == Span(
        trace_id=TRACE.hex(),
        span_id=SPAN.hex(),
        parent_id=SPAN[::-1].hex(),
        name="GET /",
        kind=SpanKind.SERVER,
        start_ns=2**64 - 1,
        end_ns=7,
        resource=Resource({"service.name": "orders"}),
        status=StatusCode.ERROR,
        status_message="no",
        attributes=ATTRIBUTES,
        events=(SpanEvent(3, "exception", {"exception.type": "KeyError"}),),
        links=(SpanLink(TRACE[::-1].hex(), SPAN.hex(), {"k": 1}),),
        scope="tests",
        trace_state="a=b",
        flags=0x301,
    )
    assert {key: type(value) for key, value in span.attributes.items()} == {k: type(v) for k, v in ATTRIBUTES.items()}


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"trace_id": b""}, "a trace id of 0 bytes"),
        ({"trace_id": TRACE[:15]}, "a trace id of 15 bytes"),
        ({"trace_id": TRACE + b"x"}, "a trace id of 17 bytes"),
        ({"trace_id": bytes(16)}, "a trace id is all zero"),
        ({"span_id": b""}, "a span id of 0 bytes"),
        ({"span_id": SPAN[:7]}, "a span id of 7 bytes"),
        ({"span_id": bytes(8)}, "a span id is all zero"),
        ({"parent_span_id": b"abc"}, "a parent span id of 3 bytes"),
    ],
)
def test_a_span_with_a_bad_id_is_rejected_and_the_others_are_taken(fields, problem):
    good = ProtoSpan(trace_id=TRACE, span_id=SPAN, name="good")
    bad = ProtoSpan(**{"trace_id": TRACE, "span_id": SPAN, "name": "bad", **fields})
    received = spans(request(bad, good, bad))
    assert [span.name for span in received.items] == ["good"]
    assert received.outcome.rejected == 2
    assert len(received.outcome.problems) == 1
    assert problem in received.outcome.problems[0]


def test_a_zero_parent_is_none_and_a_bad_link_is_left_out():
    proto = ProtoSpan(trace_id=TRACE, span_id=SPAN, parent_span_id=bytes(8), kind=99)
    proto.links.add(trace_id=b"x", span_id=SPAN)
    received = spans(request(proto))
    (span,) = received.items
    assert (span.parent_id, span.links, span.kind, received.outcome.rejected) == ("", (), SpanKind.UNSPECIFIED, 0)
    assert "left out a link" in received.outcome.problems[0]


def test_logs_with_and_without_a_trace():
    out = ExportLogsServiceRequest()
    records = out.resource_logs.add().scope_logs.add().log_records
    records.add(
        time_unix_nano=5, severity_number=17, body=any_value("boom"), trace_id=TRACE, span_id=SPAN, event_name="e"
    )
    records.add(observed_time_unix_nano=6, trace_id=bytes(16), span_id=bytes(8))
    records.add(trace_id=b"short")
    received = logs(out.SerializeToString())
    assert received.items == [
        LogRecord(5, 17, "boom", Resource({}), TRACE.hex(), SPAN.hex(), "e"),
        LogRecord(6, 0, None, Resource({})),
    ]
    assert received.outcome.rejected == 1


def test_metrics_are_counted():
    out = ExportMetricsServiceRequest()
    metrics = out.resource_metrics.add().scope_metrics.add().metrics
    metrics.add(name="a").gauge.data_points.add(as_int=1)
    metrics.add(name="b").sum.data_points.extend([])
    metrics.add(name="c")
    metrics.add(name="d").histogram.data_points.add(count=1)
    assert otlp.count_data_points(out.SerializeToString(), otlp.parse) == 2


def message(number: int, content: bytes) -> bytes:
    """A length-delimited field: protobuf itself refuses to write what is too deep."""
    size, length = len(content), bytearray()
    while size > 0x7F:
        length.append(size & 0x7F | 0x80)
        size >>= 7
    return bytes([number << 3 | 2, *length, size]) + content


def nested(depth: int) -> bytes:
    value = message(1, b"x")
    for _ in range(depth):
        value = message(5, message(1, value))  # AnyValue.array_value, ArrayValue.values
    attribute = message(9, message(1, b"deep") + message(2, value))
    span = message(1, TRACE) + message(2, SPAN) + attribute
    return message(1, message(2, message(2, span)))


def test_depth_is_bounded():
    assert len(spans(nested(30)).items) == 1
    with pytest.raises(BadOtlp):
        spans(nested(80))


def test_strings_that_are_no_utf8():
    body = request(ProtoSpan(trace_id=TRACE, span_id=SPAN, name="NAMENAME")).replace(
        b"NAMENAME", b"\xff\xfe\xfd\xfc\xff\xff\xff\xff"
    )
    with pytest.raises(BadOtlp) as caught:
        spans(body)
    assert caught.value.slug == "bad-otlp"


def test_an_empty_body_is_an_empty_request():
    assert spans(b"").items == []


@settings(max_examples=300)
@given(st.data())
def test_broken_bodies_give_bad_otlp_or_valid_spans(data):
    proto = ProtoSpan(trace_id=TRACE, span_id=SPAN, name="n", attributes=pairs(ATTRIBUTES))
    body = bytearray(request(proto, proto))
    for _ in range(data.draw(st.integers(1, 3))):
        position = data.draw(st.integers(0, len(body) - 1))
        body[position : position + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    for read in (spans, logs):
        with contextlib.suppress(BadOtlp):
            for item in read(bytes(body)).items:
                assert len(item.trace_id) in {0, 32}
                assert len(item.span_id) in {0, 16}
