"""The sink answers as a receiver would: OpenTelemetry's own exporter is content, and its bytes are counted."""

from __future__ import annotations

import http.client
import json
import urllib.request
from typing import Any

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExportResult

from aftertrace.cli.bench.catalog import tools
from aftertrace.cli.bench.servers import Bench

BY_NAME = {tool.name: tool for tool in tools()}


def test_the_otlp_exporter_delivers(bench: Bench) -> None:
    results = []

    class Exporter(OTLPSpanExporter):
        def export(self, spans: Any) -> SpanExportResult:
            results.append(super().export(spans))
            return results[-1]

    before = bench.sent(BY_NAME["opentelemetry"])
    provider = TracerProvider()
    exporter = Exporter(endpoint=f"http://127.0.0.1:{bench.sink_port}/opentelemetry/v1/traces")
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    provider.get_tracer("test").start_span("one").end()
    provider.shutdown()
    assert results == [SpanExportResult.SUCCESS]
    assert bench.sent(BY_NAME["opentelemetry"]) > before + 50


def test_bodies_in_chunks_are_read_whole(bench: Bench) -> None:
    before = bench.sent(BY_NAME["sentry"])
    connection = http.client.HTTPConnection("127.0.0.1", bench.sink_port)
    for _ in range(2):  # on one connection: nothing of the first is left over
        connection.request("POST", "/sentry/api/1/envelope/", body=iter([b"a" * 10, b"b" * 300]), encode_chunked=True)
        answer = connection.getresponse()
        assert answer.status == 200
        assert json.loads(answer.read())["id"]
    connection.close()
    assert bench.sent(BY_NAME["sentry"]) == before + 620


def test_datadog_s_tracer_is_answered(bench: Bench) -> None:
    before = bench.sent(BY_NAME["ddtrace"])
    url = f"http://127.0.0.1:{bench.sink_port}/v0.5/traces"
    request = urllib.request.Request(url, b"12345", method="PUT")
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert json.load(answer) == {"rate_by_service": {}}
    assert bench.sent(BY_NAME["ddtrace"]) == before + 5
