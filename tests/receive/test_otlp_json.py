"""OTLP/JSON says the same as protobuf; google's own JSON mapping is what it is held against."""

import base64
import json
import math

import pytest
from google.protobuf.json_format import MessageToDict
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

from aftertrace.errors import BadOtlp
from aftertrace.receive import otlp, otlp_json
from aftertrace.receive.signals import Outcome

IDS = {"traceId", "spanId", "parentSpanId"}


def as_otlp(data, *, numbers: bool, upper: bool):
    """Google's JSON of a message as OTLP wants it: ids as hex; with ``numbers``, 64-bit integers as such."""
    if isinstance(data, list):
        return [as_otlp(item, numbers=numbers, upper=upper) for item in data]
    if not isinstance(data, dict):
        return data
    out = {}
    for key, value in data.items():
        if key in IDS:
            out[key] = base64.b64decode(value).hex()
            out[key] = out[key].upper() if upper else out[key]
        elif numbers and key in {"intValue", "startTimeUnixNano", "endTimeUnixNano", "timeUnixNano"}:
            out[key] = int(value)
        else:
            out[key] = as_otlp(value, numbers=numbers, upper=upper)
    return out


TEXT = st.text(max_size=12)
UINT64 = st.integers(0, 2**64 - 1)


def leaves():
    return st.one_of(
        st.builds(AnyValue),
        st.builds(AnyValue, string_value=TEXT),
        st.builds(AnyValue, bool_value=st.booleans()),
        st.builds(AnyValue, int_value=st.integers(-(2**63), 2**63 - 1)),
        st.builds(AnyValue, double_value=st.floats()),
        st.builds(AnyValue, bytes_value=st.binary(max_size=12)),
    )


def deeper(values):
    def array(items):
        out = AnyValue()
        out.array_value.SetInParent()
        out.array_value.values.extend(items)
        return out

    def kvlist(items):
        out = AnyValue()
        out.kvlist_value.SetInParent()
        out.kvlist_value.values.extend(KeyValue(key=key, value=value) for key, value in items.items())
        return out

    return st.lists(values, max_size=4).map(array) | st.dictionaries(TEXT, values, max_size=4).map(kvlist)


VALUES = st.recursive(leaves(), deeper, max_leaves=8)


@st.composite
def pairs(draw):
    return [KeyValue(key=key, value=value) for key, value in draw(st.dictionaries(TEXT, VALUES, max_size=3)).items()]


@st.composite
def trace_requests(draw):
    out = ExportTraceServiceRequest()
    for _ in range(draw(st.integers(0, 2))):
        group = out.resource_spans.add(schema_url=draw(TEXT))
        group.resource.attributes.extend(draw(pairs()))
        scope = group.scope_spans.add()
        scope.scope.name, scope.scope.version = draw(TEXT), draw(TEXT)
        for _ in range(draw(st.integers(0, 3))):
            span = scope.spans.add(
                trace_id=draw(st.binary(max_size=20)),
                span_id=draw(st.binary(max_size=9)),
                parent_span_id=draw(st.binary(max_size=9)),
                name=draw(TEXT),
                kind=draw(st.integers(0, 5)),
                start_time_unix_nano=draw(UINT64),
                end_time_unix_nano=draw(UINT64),
                attributes=draw(pairs()),
                trace_state=draw(TEXT),
                flags=draw(st.integers(0, 2**32 - 1)),
                dropped_attributes_count=draw(st.integers(0, 2**32 - 1)),
            )
            span.status.code, span.status.message = draw(st.integers(0, 2)), draw(TEXT)
            span.events.add(time_unix_nano=draw(UINT64), name=draw(TEXT), attributes=draw(pairs()))
            span.links.add(trace_id=draw(st.binary(max_size=16)), span_id=draw(st.binary(max_size=8)))
    return out


@st.composite
def log_requests(draw):
    out = ExportLogsServiceRequest()
    records = out.resource_logs.add().scope_logs.add().log_records
    for _ in range(draw(st.integers(0, 3))):
        records.add(
            time_unix_nano=draw(UINT64),
            observed_time_unix_nano=draw(UINT64),
            severity_number=draw(st.integers(0, 24)),
            severity_text=draw(TEXT),
            body=draw(VALUES),
            trace_id=draw(st.binary(max_size=16)),
            span_id=draw(st.binary(max_size=8)),
            event_name=draw(TEXT),
            attributes=draw(pairs()),
        )
    return out


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_json_becomes_the_protobuf_that_it_was_made_of(data):
    message = data.draw(trace_requests() | log_requests())
    said = MessageToDict(
        message,
        use_integers_for_enums=data.draw(st.booleans()),
        always_print_fields_with_no_presence=data.draw(st.booleans()),
    )
    said = as_otlp(said, numbers=data.draw(st.booleans()), upper=data.draw(st.booleans()))
    body = json.dumps(said, ensure_ascii=data.draw(st.booleans())).encode()
    read = otlp_json.parse(type(message), body)
    assert read.SerializeToString(deterministic=True) == message.SerializeToString(deterministic=True)


METRICS = {
    "resourceMetrics": [
        {
            "scopeMetrics": [
                {
                    "metrics": [
                        {"name": "g", "gauge": {"dataPoints": [{"asInt": "1"}, {"asDouble": 1.5}]}},
                        {"name": "h", "histogram": {"dataPoints": [{"bucketCounts": ["1", 2], "explicitBounds": [1]}]}},
                        {"name": "none"},
                    ]
                }
            ]
        }
    ]
}


def test_metrics_are_counted():
    assert otlp.count_data_points(json.dumps(METRICS).encode(), otlp_json.parse) == 3
    read = otlp_json.parse(ExportMetricsServiceRequest, json.dumps(METRICS).encode())
    assert read.resource_metrics[0].scope_metrics[0].metrics[1].histogram.data_points[0].bucket_counts == [1, 2]


def span(**fields):
    whole = {"traceId": "5b8efff798038103d269b633813fc60c", "spanId": "eee19b7ec3c1b174", **fields}
    return json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [whole]}]}]}).encode()


def read(body: bytes):
    outcome = Outcome()
    return list(otlp.spans(body, outcome, otlp_json.parse)), outcome


def value_of(said):
    ((only,), _) = read(span(attributes=[{"key": "k", "value": said}]))
    return only.attributes["k"]


@pytest.mark.parametrize(
    ("said", "value"),
    [
        ({"stringValue": "é"}, "é"),
        ({"stringValue": "cut \ud83d"}, "cut \ufffd"),  # half of a pair, as JavaScript's slice() leaves it
        ({"stringValue": "\ud83d\ude00"}, "\U0001f600"),
        ({"boolValue": False}, False),
        ({"intValue": "-9223372036854775808"}, -(2**63)),
        ({"intValue": 9007199254740993}, 9007199254740993),
        ({"intValue": 1e3}, 1000),
        ({"intValue": "0"}, 0),
        ({"doubleValue": 1}, 1.0),
        ({"doubleValue": "2.5e1"}, 25.0),
        ({"doubleValue": "-Infinity"}, -math.inf),
        ({"bytesValue": "AP8="}, b"\x00\xff"),
        ({"bytesValue": "_-8"}, b"\xff\xef"),
        ({"arrayValue": {"values": [{"intValue": "1"}, {}]}}, [1, None]),
        ({"arrayValue": {}}, []),
        ({"kvlistValue": {"values": [{"key": "a", "value": {"boolValue": True}}]}}, {"a": True}),
        ({"futureValue": 1}, None),
        ({}, None),
        (None, None),
    ],
)
def test_values(said, value):
    found = value_of(said)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(("said", "number"), [(2, 2), ("SPAN_KIND_SERVER", 2), ("2", 2), ("SPAN_KIND_NEW", 0), (77, 0)])
def test_enums_are_numbers_or_names(said, number):
    ((only,), _) = read(span(kind=said))
    assert only.kind == number


def test_what_is_not_known_is_ignored():
    ((only,), outcome) = read(
        span(name="n", parent_span_id="abc", start_time_unix_nano=5, nope={"deep": [1]}, kind=None)
    )
    assert (only.name, only.parent_id, only.start_ns, outcome.problems) == ("n", "", 0, [])


@pytest.mark.parametrize(
    ("fields", "where"),
    [
        ({"name": 5}, "spans[0].name: a string is wanted, not a number"),
        ({"kind": 1.5}, "spans[0].kind: an integer"),
        ({"kind": True}, "spans[0].kind: an integer"),
        ({"startTimeUnixNano": "-1"}, "startTimeUnixNano: the integer is out of range"),
        ({"startTimeUnixNano": "1e9"}, "startTimeUnixNano: an integer"),
        ({"endTimeUnixNano": 2**64}, "endTimeUnixNano: the integer is out of range"),
        ({"flags": 2**32}, "flags: the integer is out of range"),
        ({"traceId": 5}, "traceId: an id as hex"),
        ({"attributes": {"k": "v"}}, "attributes: an array is wanted, not an object"),
        ({"attributes": [5]}, "attributes[0]: an object is wanted, not a number"),
        ({"attributes": [{"value": {"intValue": "x"}}]}, "attributes[0].value.intValue: an integer"),
        ({"attributes": [{"value": {"boolValue": "true"}}]}, "boolValue: a boolean"),
        ({"attributes": [{"value": {"doubleValue": "1,5"}}]}, "doubleValue: a number"),
        ({"attributes": [{"value": {"bytesValue": "a"}}]}, "bytesValue: this is not base64"),
        ({"attributes": [{"value": {"bytesValue": "a b="}}]}, "bytesValue: this is not base64"),
        ({"attributes": [{"value": {"intValue": 1, "stringValue": ""}}]}, "more than one value"),
    ],
)
def test_what_cannot_be_read_is_named(fields, where):
    with pytest.raises(BadOtlp) as caught:
        read(span(**fields))
    assert where in caught.value.message


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"null", b"{", b"nonsense", b'{"resourceSpans":', b"\xff\xfe{}", b"\x00", b"1" * 5000],
    ids=repr,
)
def test_what_is_no_json_object_is_bad(body):
    with pytest.raises(BadOtlp):
        read(body[:5000])


def nested(depth: int, one: str, other: str) -> bytes:
    return span(attributes=[{"key": "k", "value": "VALUE"}]).replace(
        b'"VALUE"', (one * depth + '{"intValue":1}' + other * depth).encode()
    )


def test_depth_is_bounded_as_in_protobuf():
    arrays = ('{"arrayValue":{"values":[', "]}}")
    deepest = max(depth for depth in range(60) if readable(nested(depth, *arrays)))
    message = otlp_json.parse(ExportTraceServiceRequest, nested(deepest, *arrays))
    assert otlp.parse(ExportTraceServiceRequest, message.SerializeToString()) == message
    assert 40 <= deepest <= 50
    for depth in (1000, 200_000):
        with pytest.raises(BadOtlp, match="nested too deeply"):
            read(nested(depth, *arrays))
    assert not readable(b"[" * 200_000)


def readable(body: bytes) -> bool:
    try:
        read(body)
    except BadOtlp:
        return False
    return True
