"""ns of CPU per span made and ended through the OpenTelemetry API: on native spans, on the API's no-op, on the SDK.

python benchmarks/otel_spans.py
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable

ROUNDS, COUNT = 9, 10_000


def measured(work: Callable[[], object]) -> float:
    """Median ns of CPU per call, the loop included."""
    taken = []
    for _ in range(ROUNDS):
        began = time.process_time_ns()
        for _ in range(COUNT):
            work()
        taken.append((time.process_time_ns() - began) / COUNT)
    return statistics.median(taken)


def prepare(kind: str) -> None:
    if kind == "native":
        from aftertrace import _native
        from aftertrace.record import boundaries

        _native.start(_native.LEVEL_SPANS, ring_bytes=16 << 20, defs_bytes=1 << 20, roots=[], libraries=[])
        boundaries.install()
    if kind == "sdk":
        from opentelemetry import trace
        from opentelemetry.sdk.trace import TracerProvider

        trace.set_tracer_provider(TracerProvider(shutdown_on_exit=False))


def measure(kind: str) -> None:
    prepare(kind)
    from opentelemetry import trace

    tracer = trace.get_tracer("bench")
    five: dict[str, int | str | float] = {"a": 1, "b": "x", "c": 2.0, "d": True, "e": "y"}

    def current() -> None:
        with tracer.start_as_current_span("s"):
            pass

    with tracer.start_as_current_span("request"):
        figures = {
            "start_span + end": measured(lambda: tracer.start_span("s").end()),
            "with 5 attributes": measured(lambda: tracer.start_span("s", attributes=five).end()),
            "start_as_current_span": measured(current),
            "get_current_span": measured(trace.get_current_span),
        }
    print(f"{kind:8}" + "".join(f"{name} {ns:6.0f} ns   " for name, ns in figures.items()))


if __name__ == "__main__":
    if len(sys.argv) > 1:
        measure(sys.argv[1])
    else:
        for one in ("native", "no-op", "sdk"):
            subprocess.run([sys.executable, __file__, one], check=True)
