"""Requests like the specification's own examples of OTLP/JSON (opentelemetry-proto, examples/): the same fields in the
same spelling, made here."""

import json

from aftertrace.model import SpanKind
from aftertrace.receive import otlp, otlp_json
from aftertrace.receive.signals import Outcome

RESOURCE = {"attributes": [{"key": "service.name", "value": {"stringValue": "my.service"}}]}
SCOPE = {
    "name": "my.library",
    "version": "1.0.0",
    "attributes": [{"key": "my.scope.attribute", "value": {"stringValue": "some scope attribute"}}],
}
TRACE, SPAN, PARENT = "5B8EFFF798038103D269B633813FC60C", "EEE19B7EC3C1B174", "EEE19B7EC3C1B173"
BEGAN = 1_544_712_660 * 10**9
TIMES = {"startTimeUnixNano": f"{BEGAN}", "timeUnixNano": f"{BEGAN}"}
ATTRIBUTES = [{"key": "my.label", "value": {"stringValue": "some value"}}]


def read(request: dict, what):
    outcome = Outcome()
    items = list(what(json.dumps(request).encode(), outcome, otlp_json.parse))
    assert outcome == Outcome()
    return items


def test_a_trace():
    span = {
        "traceId": TRACE,
        "spanId": SPAN,
        "parentSpanId": PARENT,
        "name": "I'm a server span",
        "startTimeUnixNano": f"{BEGAN}",
        "endTimeUnixNano": f"{BEGAN + 10**9}",
        "kind": 2,
        "attributes": ATTRIBUTES,
    }
    (found,) = read(
        {"resourceSpans": [{"resource": RESOURCE, "scopeSpans": [{"scope": SCOPE, "spans": [span]}]}]}, otlp.spans
    )
    assert (found.trace_id, found.span_id, found.parent_id) == (TRACE.lower(), SPAN.lower(), PARENT.lower())
    assert (found.name, found.kind, found.start_ns, found.end_ns) == (
        span["name"],
        SpanKind.SERVER,
        BEGAN,
        BEGAN + 10**9,
    )
    assert (found.service, found.scope, found.attributes) == ("my.service", "my.library", {"my.label": "some value"})


def test_logs():
    record = {
        "timeUnixNano": f"{BEGAN}",
        "observedTimeUnixNano": f"{BEGAN + 1}",
        "severityNumber": 10,
        "severityText": "Information",
        "traceId": TRACE,
        "spanId": SPAN,
        "body": {"stringValue": "Example log record"},
        "attributes": [
            {"key": "string.attribute", "value": {"stringValue": "some string"}},
            {"key": "boolean.attribute", "value": {"boolValue": True}},
            {"key": "int.attribute", "value": {"intValue": "10"}},
            {"key": "double.attribute", "value": {"doubleValue": 637.704}},
            {
                "key": "array.attribute",
                "value": {"arrayValue": {"values": [{"stringValue": "many"}, {"stringValue": "values"}]}},
            },
            {
                "key": "map.attribute",
                "value": {"kvlistValue": {"values": [{"key": "some.map.key", "value": {"stringValue": "some value"}}]}},
            },
        ],
    }
    (found,) = read(
        {"resourceLogs": [{"resource": RESOURCE, "scopeLogs": [{"scope": SCOPE, "logRecords": [record]}]}]}, otlp.logs
    )
    assert (found.time_ns, found.severity, found.body) == (BEGAN, 10, "Example log record")
    assert (found.trace_id, found.span_id) == (TRACE.lower(), SPAN.lower())
    assert found.attributes == {
        "string.attribute": "some string",
        "boolean.attribute": True,
        "int.attribute": 10,
        "double.attribute": 637.704,
        "array.attribute": ["many", "values"],
        "map.attribute": {"some.map.key": "some value"},
    }


def test_an_event():
    record = {
        "timeUnixNano": f"{BEGAN}",
        "observedTimeUnixNano": f"{BEGAN}",
        "severityNumber": 9,
        "eventName": "browser.page_view",
        "body": {"kvlistValue": {"values": [{"key": "type", "value": {"intValue": "0"}}]}},
        "attributes": [{"key": "event.attribute", "value": {"stringValue": "some event attribute"}}],
    }
    (found,) = read(
        {"resourceLogs": [{"resource": RESOURCE, "scopeLogs": [{"scope": SCOPE, "logRecords": [record]}]}]}, otlp.logs
    )
    assert (found.event_name, found.body, found.trace_id) == ("browser.page_view", {"type": 0}, "")


def test_metrics():
    point = {**TIMES, "attributes": ATTRIBUTES}
    metrics = [
        {
            "name": "my.counter",
            "sum": {"aggregationTemporality": 1, "isMonotonic": True, "dataPoints": [{**point, "asDouble": 5}]},
        },
        {"name": "my.gauge", "gauge": {"dataPoints": [{**point, "asDouble": 10}]}},
        {
            "name": "my.histogram",
            "histogram": {
                "aggregationTemporality": 1,
                "dataPoints": [
                    {**point, "count": 2, "sum": 2, "bucketCounts": [1, 1], "explicitBounds": [1], "min": 0, "max": 2}
                ],
            },
        },
        {
            "name": "my.exponential.histogram",
            "exponentialHistogram": {
                "aggregationTemporality": 1,
                "dataPoints": [
                    {
                        **point,
                        "count": 3,
                        "sum": 10,
                        "scale": 0,
                        "zeroCount": 1,
                        "positive": {"offset": 1, "bucketCounts": [0, 2]},
                        "zeroThreshold": 0,
                    }
                ],
            },
        },
    ]
    request = {"resourceMetrics": [{"resource": RESOURCE, "scopeMetrics": [{"scope": SCOPE, "metrics": metrics}]}]}
    assert otlp.count_data_points(json.dumps(request).encode(), otlp_json.parse) == 4
