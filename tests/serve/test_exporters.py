"""The real OpenTelemetry exporters of Python, each in its own protocol: spans and logs arrive, metrics are let go."""

import contextlib

import grpc
import pytest
from opentelemetry import trace as otel
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.exporter.otlp.common.http import Compression
from opentelemetry.exporter.otlp.json.http._log_exporter import OTLPLogExporter as JsonLogs
from opentelemetry.exporter.otlp.json.http.metric_exporter import OTLPMetricExporter as JsonMetrics
from opentelemetry.exporter.otlp.json.http.trace_exporter import OTLPSpanExporter as JsonSpans
from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter as GrpcLogs
from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter as GrpcMetrics
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcSpans
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter as HttpLogs
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter as HttpMetrics
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpSpans
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricExportResult, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.trace import SpanKind, Status, StatusCode

from aftertrace.cli import client
from aftertrace.errors import NotFound

from .conftest import Server

RESOURCE = Resource({"service.name": "sdk", "numbers": (1, 2)})


def over_grpc(kind, server, **words):
    return kind(server.grpc, insecure=True, **words)


def over_http(kind, server, **words):
    signal = {"Spans": "traces", "Logs": "logs", "Metrics": "metrics"}
    name = next(name for made, name in NAMES.items() if made is kind)
    return kind(f"{server.otlp}/v1/{signal[name]}", **words)


NAMES = {
    **dict.fromkeys((HttpSpans, JsonSpans), "Spans"),
    **dict.fromkeys((HttpLogs, JsonLogs), "Logs"),
    **dict.fromkeys((HttpMetrics, JsonMetrics), "Metrics"),
}
GRPC, HTTP, JSON = (
    (GrpcSpans, GrpcLogs, GrpcMetrics),
    (HttpSpans, HttpLogs, HttpMetrics),
    (JsonSpans, JsonLogs, JsonMetrics),
)
WAYS = [
    pytest.param(over_grpc, GRPC, grpc.Compression.NoCompression, id="grpc"),
    pytest.param(over_grpc, GRPC, grpc.Compression.Gzip, id="grpc-gzip"),
    pytest.param(over_http, HTTP, Compression.NONE, id="protobuf"),
    pytest.param(over_http, HTTP, Compression.GZIP, id="protobuf-gzip"),
    pytest.param(over_http, HTTP, Compression.DEFLATE, id="protobuf-deflate"),
    pytest.param(over_http, JSON, Compression.NONE, id="json"),
    pytest.param(over_http, JSON, Compression.GZIP, id="json-gzip"),
]
ATTRIBUTES = {
    "s": "é",
    "i": 2**62,
    "f": 1.0,
    "b": True,
    "bytes": b"\xff\x00",
    "list": ("a", "b"),
    "map": {"x": [1, {}]},
}


@pytest.mark.parametrize(("make", "kinds", "compression"), WAYS)
def test_spans_and_logs_arrive(server, make, kinds, compression):
    spans = TracerProvider(resource=RESOURCE, shutdown_on_exit=False)
    spans.add_span_processor(SimpleSpanProcessor(make(kinds[0], server, compression=compression)))
    logs = LoggerProvider(resource=RESOURCE, shutdown_on_exit=False)
    logs.add_log_record_processor(SimpleLogRecordProcessor(make(kinds[1], server, compression=compression)))
    tracer = spans.get_tracer("tests")
    with contextlib.suppress(ZeroDivisionError), tracer.start_as_current_span("outer", kind=SpanKind.SERVER) as outer:
        outer.set_attributes(ATTRIBUTES)
        with tracer.start_as_current_span("inner", links=[otel.Link(outer.get_span_context())]) as inner:
            inner.set_status(Status(StatusCode.OK))
        said = LogRecord(
            timestamp=5,
            severity_number=SeverityNumber.WARN,
            body={"k": [1, "é"]},
            attributes=ATTRIBUTES,
            event_name="e",
        )
        logs.get_logger("tests").emit(said)
        _ = 1 / 0
    spans.shutdown()
    logs.shutdown()
    check(server, outer.get_span_context())


def check(server, context) -> None:
    found = client.bundle(f"{context.trace_id:032x}", settings=server.settings)
    first, second = found.spans
    assert (first.name, second.name, second.parent_id) == ("outer", "inner", first.span_id)
    expected = {**ATTRIBUTES, "list": ["a", "b"]}
    assert first.attributes == expected
    assert {key: type(value) for key, value in first.attributes.items()} == {k: type(v) for k, v in expected.items()}
    assert (first.status.name, second.status.name, first.service, first.scope) == ("ERROR", "OK", "sdk", "tests")
    assert first.resource.attributes["numbers"] == [1, 2]
    assert first.events[0].attributes["exception.type"] == "ZeroDivisionError"
    assert second.links[0].span_id == first.span_id
    (log,) = found.logs
    assert (log.time_ns, log.severity, log.body, log.event_name) == (5, 13, {"k": [1, "é"]}, "e")
    assert (log.attributes, log.span_id, log.resource.service) == (expected, first.span_id, "sdk")


@pytest.mark.parametrize(("make", "kinds", "compression"), WAYS)
def test_metrics_are_taken_and_let_go(server, make, kinds, compression):
    exporter = make(kinds[2], server, compression=compression)
    answers = []
    export = exporter.export

    def watched(*args, **named):
        answers.append(export(*args, **named))
        return answers[-1]

    exporter.export = watched
    meters = MeterProvider([PeriodicExportingMetricReader(exporter, 3_600_000)], shutdown_on_exit=False)
    meters.get_meter("tests").create_counter("c").add(1)
    assert meters.force_flush()
    meters.shutdown()
    assert set(answers) == {MetricExportResult.SUCCESS}


@pytest.fixture(scope="module")
def guarded(tmp_path_factory):
    running = Server(tmp_path_factory.mktemp("guarded") / "store", AFTERTRACE_TOKEN="s3cret")
    yield running
    assert running.end() == 0


@pytest.mark.parametrize(("make", "kind"), [(over_grpc, GrpcSpans), (over_http, HttpSpans), (over_http, JsonSpans)])
def test_the_token_is_asked_for_in_every_protocol(guarded, make, kind):
    sent = {}
    for name, headers in (("right", {"authorization": "Bearer s3cret"}), ("wrong", {"authorization": "Bearer x"})):
        provider = TracerProvider(resource=RESOURCE, shutdown_on_exit=False)
        exporter = make(kind, guarded, headers=headers)
        provider.add_span_processor(SimpleSpanProcessor(exporter))
        with provider.get_tracer("tests").start_as_current_span(name) as span:
            sent[name] = f"{span.get_span_context().trace_id:032x}"
        provider.shutdown()
    assert client.bundle(sent["right"], settings=guarded.settings).spans[0].name == "right"
    with pytest.raises(NotFound):
        client.bundle(sent["wrong"], settings=guarded.settings)
