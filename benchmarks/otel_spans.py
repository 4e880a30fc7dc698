"""ns of CPU per span made and ended through the OpenTelemetry API: on native spans, on the API's no-op, on the SDK
alone, with its batches and OTLP exporter (all spans sent within the time), and the same beside us (a native twin each).

python benchmarks/otel_spans.py
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

ROUNDS, COUNT = 9, 10_000


def measured(work: Callable[[], object], sent: Callable[[], object]) -> float:
    """Median ns of CPU per call, the loop included, and all threads."""
    taken = []
    for _ in range(ROUNDS):
        began = time.process_time_ns()
        for _ in range(COUNT):
            work()
        sent()
        taken.append((time.process_time_ns() - began) / COUNT)
    return statistics.median(taken)


def prepare(kind: str, endpoint: str) -> Callable[[], object]:
    """Gives what waits until all spans are sent."""
    if kind in {"native", "sdk+export+us"}:
        from aftertrace import _native
        from aftertrace.record import boundaries

        _native.start(_native.LEVEL_SPANS, ring_bytes=16 << 20, defs_bytes=1 << 20, roots=[], libraries=[])
        boundaries.install()
    if not kind.startswith("sdk"):
        return lambda: None
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider

    provider = TracerProvider(shutdown_on_exit=False)
    if endpoint:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=endpoint), max_queue_size=2 * COUNT))
    trace.set_tracer_provider(provider)
    return provider.force_flush


def measure(kind: str, endpoint: str) -> None:
    sent = prepare(kind, endpoint)
    from opentelemetry import trace

    tracer = trace.get_tracer("bench")
    five: dict[str, int | str | float] = {"a": 1, "b": "x", "c": 2.0, "d": True, "e": "y"}

    def current() -> None:
        with tracer.start_as_current_span("s"):
            pass

    with tracer.start_as_current_span("request"):
        figures = {
            "start_span + end": measured(lambda: tracer.start_span("s").end(), sent),
            "with 5 attributes": measured(lambda: tracer.start_span("s", attributes=five).end(), sent),
            "start_as_current_span": measured(current, sent),
            "get_current_span": measured(trace.get_current_span, lambda: None),
        }
    print(f"{kind:14}" + "".join(f"{name} {ns:6.0f} ns   " for name, ns in figures.items()))


class Sink(BaseHTTPRequestHandler):
    """Takes what is exported, in the parent: its CPU is not counted."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None: ...


class Server(ThreadingHTTPServer):
    def handle_error(self, *_: object) -> None:
        """A process that has ended resets its connection."""


def main() -> None:
    with Server(("127.0.0.1", 0), Sink) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        endpoint = f"http://127.0.0.1:{server.server_port}/v1/traces"
        for one in ("native", "no-op", "sdk", "sdk+export", "sdk+export+us"):
            subprocess.run([sys.executable, __file__, one, endpoint if "export" in one else ""], check=True)
        server.shutdown()


if __name__ == "__main__":
    if len(sys.argv) > 1:
        measure(*sys.argv[1:])
    else:
        main()
