"""What a native span costs: ns, medians.

python benchmarks/native_spans.py
"""

from __future__ import annotations

import statistics
import timeit
from collections.abc import Callable

from aftertrace import _native
from aftertrace._native import Span, attach, current, detach

ATTRIBUTES = {"http.method": "GET", "http.route": "/orders/{id}", "http.status": 200, "ok": True, "ratio": 0.5}
NUMBER = 20_000


def bare() -> None:
    Span("GET /orders/{id}", 2, None).end()


def with_attributes() -> None:
    Span("GET /orders/{id}", 2, None, ATTRIBUTES).end()


def attributes_one_by_one() -> None:
    span = Span("GET /orders/{id}", 2, None)
    for name, value in ATTRIBUTES.items():
        span.set_attribute(name, value)
    span.end()


def attached_child() -> None:
    span = Span("child", attributes=ATTRIBUTES)
    token = attach(span)
    detach(token)
    span.end()


def log_record() -> None:
    _native.log(9, "orders", "order %s has %d lines", ("A-17", 3), "/srv/orders/app.py", 17, "place", None)


CASES: dict[str, Callable[[], object]] = {
    "span, made and ended": bare,
    "span with 5 attributes": with_attributes,
    "span, 5 set_attribute()": attributes_one_by_one,
    "child, attached and detached": attached_child,
    "current()": current,
    "log record": log_record,
}


def medians() -> dict[str, float]:
    return {
        name: statistics.median(timeit.repeat(run, number=NUMBER, repeat=11)) / NUMBER * 1e9
        for name, run in CASES.items()
    }


def main() -> None:
    """Prints ns per case: recording off, then on."""
    off = medians()
    _native.start(
        _native.LEVEL_SPANS,
        ring_bytes=1 << 22,
        defs_bytes=1 << 16,
        roots=[],
        libraries=[],
        include=[],
        exclude=[],
        keys=[],
    )
    on = medians()
    _native.stop()
    for name in CASES:
        print(f"{name:30} off {off[name]:7.0f} ns   on {on[name]:7.0f} ns")


if __name__ == "__main__":
    main()
