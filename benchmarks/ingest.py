"""Durable ingest over OTLP/HTTP: spans per second acknowledged, and bytes stored per span.

    python benchmarks/ingest.py [--requests 30] [--senders 3] [--batch 2000]

The server is a process of its own on free ports and a new directory; senders are threads here that post bodies made
beforehand (gzip off), 8 attributes a span, each body with trace and span ids of its own.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

from aftertrace.store.engine import Engine

_ENTRY = "from aftertrace.cli.serve import command; command()"
_SPANS_PER_TRACE = 10


def _body(batch: int) -> bytes:
    request = ExportTraceServiceRequest()
    group = request.resource_spans.add()
    group.resource.attributes.append(KeyValue(key="service.name", value=AnyValue(string_value="orders")))
    scope = group.scope_spans.add()
    now = time.time_ns()
    for n in range(batch):
        if n % _SPANS_PER_TRACE == 0:
            trace_id, parent = secrets.token_bytes(16), b""
        span_id = secrets.token_bytes(8)
        start = now + n * 10_000
        span = scope.spans.add(
            trace_id=trace_id, span_id=span_id, parent_span_id=parent, name=f"GET /item/{n % 7}", kind=2
        )
        span.start_time_unix_nano, span.end_time_unix_nano = start, start + 1_000_000 + n
        parent = span_id
        texts = {
            "http.request.method": "GET",
            "http.route": "/item/{id}",
            "url.path": f"/item/{n}",
            "server.address": "orders",
        }
        span.attributes.extend(KeyValue(key=key, value=AnyValue(string_value=text)) for key, text in texts.items())
        numbers = {"http.response.status_code": 200, "server.port": 8000, "user.id": n, "thread.id": n % 4}
        span.attributes.extend(KeyValue(key=key, value=AnyValue(int_value=value)) for key, value in numbers.items())
    return request.SerializeToString()


def _send(address: str, bodies: list[bytes], batch: int, counts: list[int]) -> None:
    connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=60)
    sent = 0
    for body in bodies:
        connection.request("POST", "/v1/traces", body, {"Content-Type": "application/x-protobuf"})
        response = connection.getresponse()
        response.read()
        if response.status == 200:
            sent += batch
    connection.close()
    counts.append(sent)


def _stored(directory: Path) -> dict[str, int]:
    """Bytes of each table's live parts, merged; what merges left behind is removed by the engine within minutes."""
    engine = Engine(directory)
    try:
        for table in ("spans", "span_index"):
            engine.command(f"OPTIMIZE TABLE {table} FINAL")
        sql = "SELECT table, sum(bytes_on_disk) AS bytes FROM system.parts WHERE active GROUP BY table"
        return {row["table"]: row["bytes"] for row in engine.query(sql, {})}
    finally:
        engine.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=30, help="of each sender")
    parser.add_argument("--senders", type=int, default=3)
    parser.add_argument("--batch", type=int, default=2000, help="spans in a request")
    words = parser.parse_args()
    bodies = [[_body(words.batch) for _ in range(words.requests)] for _ in range(words.senders)]
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder) / "store"
        argv = [
            sys.executable,
            "-c",
            _ENTRY,
            "--json",
            "--api-port",
            "0",
            "--otlp-port",
            "0",
            "--store",
            str(directory),
        ]
        with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as server:
            assert server.stdout is not None
            otlp = json.loads(server.stdout.readline())["otlp"]
            counts: list[int] = []
            args = [(otlp, part, words.batch, counts) for part in bodies]
            threads = [threading.Thread(target=_send, args=arguments) for arguments in args]
            began = time.perf_counter()
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            seconds = time.perf_counter() - began
            server.send_signal(signal.SIGTERM)
        stored = _stored(directory)
    spans = sum(counts)
    result = {
        "spans": spans,
        "spans_per_second": round(spans / seconds),
        "otlp_bytes_per_span": round(
            sum(len(b) for part in bodies for b in part) / (words.senders * words.requests * words.batch)
        ),
        "stored_bytes_per_span": round(stored["spans"] / spans, 1),
        "index_bytes_per_span": round(stored["span_index"] / spans, 1),
        "cores": os.cpu_count(),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
