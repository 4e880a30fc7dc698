"""`show` of requests of any shape: bounded, complete about what it leaves out, and harmless to a terminal."""

from __future__ import annotations

import itertools
import json
import time
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aftertrace.explain.show import shown
from aftertrace.model import Keep, LogRecord, Resource, Span, SpanEvent, SpanKind, StatusCode
from aftertrace.reconstruct.build import build
from aftertrace.show import show
from aftertrace.show.console import Console
from aftertrace.wire.bundle import TraceData

TRACE = "ab" * 16


def span(number: int, parent: int, *, name: str = "work", service: str = "shop", error: bool = False) -> Span:
    return Span(
        trace_id=TRACE,
        span_id=f"{number:016x}",
        parent_id=f"{parent:016x}" if parent else "",
        name=name,
        kind=SpanKind.INTERNAL,
        start_ns=1_000_000_000 + number * 1000,
        end_ns=1_000_000_000 + number * 1000 + 500,
        resource=Resource({"service.name": service}),
        status=StatusCode.ERROR if error else StatusCode.UNSET,
    )


def outline(spans: list[Span], limit: int = 200, **more: object) -> tuple[list[dict[str, object]], int]:
    data = replace(TraceData(TRACE, spans), **more)  # type: ignore[arg-type]
    answer = shown(build(data), limit=limit).to_json()
    json.dumps(answer)
    text = show.render(answer, Console(80))
    assert all(len(line) <= 100 for line in text.splitlines()[1:])
    return answer["rows"], answer["left_out"]


def counted(rows: list[dict[str, object]]) -> tuple[int, int]:
    """Nodes that are shown, and direct children of theirs that are said to be left out."""
    out = sum(row["count"] for row in rows if row["type"] == "left_out")  # type: ignore[misc]
    return sum(row["type"] != "left_out" for row in rows), out


def test_ten_thousand_children_are_bounded_and_the_failing_one_is_there() -> None:
    spans = [span(1, 0)] + [span(n, 1, name=f"query {n % 3}", error=n == 7777) for n in range(2, 10_002)]
    began = time.monotonic()
    rows, left_out = outline(spans)
    assert time.monotonic() - began < 5
    nodes, out = counted(rows)
    assert nodes < 30
    assert nodes + left_out == len(spans)
    assert out == left_out
    assert [row["span_id"] for row in rows if row["type"] == "span" and row["status"] == "error"] == [f"{7777:016x}"]
    more, still = outline(spans, limit=5000)
    assert counted(more)[0] > 200
    assert counted(more)[0] + still == len(spans)


def test_spans_nested_ten_thousand_deep_end() -> None:
    spans = [span(n, n - 1, error=n == 10_000) for n in range(1, 10_001)]
    rows, left_out = outline(spans)
    nodes, _ = counted(rows)
    assert nodes == 200
    assert nodes + left_out == 10_000
    assert max(row["depth"] for row in rows) == 200  # type: ignore[type-var]


def test_a_failure_far_below_is_shown_with_its_whole_way() -> None:
    spans = [span(n, n // 10, error=n == 9_999) for n in range(1, 10_000)]
    rows, _ = outline(spans, limit=50)
    way = {f"{n:016x}" for n in (9999, 999, 99, 9)}
    assert way <= {row.get("span_id") for row in rows}


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 30), st.booleans()), max_size=30), st.integers(1, 40))
def test_any_parents_give_each_span_once(parents: list[tuple[int, bool]], limit: int) -> None:
    spans = [span(n, parent, error=error) for n, (parent, error) in enumerate(parents, 1)]
    rows, left_out = outline(spans, limit=limit)
    ids = [row["span_id"] for row in rows if row["type"] == "span"]
    assert len(ids) == len(set(ids)) <= limit
    assert len(ids) + left_out == len(spans)
    depths = [row["depth"] for row in rows]
    assert depths[:1] in ([], [0])
    assert all(b <= a + 1 for a, b in itertools.pairwise(depths))  # type: ignore[operator]


def test_what_would_steer_a_terminal_is_written_out() -> None:
    nasty = "a\x1b[31m\nb\x9b\u202e"
    event = SpanEvent(1, "exception", {"exception.type": nasty, "exception.message": nasty})
    one = replace(span(1, 0, name=nasty, service=nasty, error=True), events=(event,), status_message=nasty)
    one = replace(one, attributes={"url.full": nasty})
    log = LogRecord(1_000_000_500, 17, nasty, Resource({"service.name": nasty}), TRACE, one.span_id)
    keep = Keep(TRACE, nasty, nasty, nasty, "00" * 16, 1)
    answer = shown(build(TraceData(TRACE, [one], [log], keeps=[keep], problems=[nasty])), limit=10).to_json()
    text = show.render(answer, Console(100, colour=False))
    assert all(line.isprintable() for line in text.splitlines())
    assert "\\x1b[31m" in text


def test_logs_without_recordings_stand_in_their_spans() -> None:
    logs = [
        LogRecord(1_000_002_100, 17, "it broke", Resource({"service.name": "shop"}), TRACE, f"{2:016x}"),
        LogRecord(1_000_002_050, 9, {"a": [1]}, Resource({"service.name": "shop"}), TRACE, "ff" * 8),
    ]
    rows, _ = outline([span(1, 0), span(2, 1)], logs=logs)
    said = [(row["depth"], row["type"], row.get("text")) for row in rows]
    assert (2, "log", "it broke") in said
    assert (0, "log", "{'a': [1]}") in said


def test_nothing_but_problems() -> None:
    rows, left_out = outline([], problems=["all is lost"])
    assert (rows, left_out) == ([], 0)


@pytest.mark.parametrize("width", [40, 60, 200])
def test_any_width(width: int) -> None:
    spans = [span(1, 0, name="n" * 100), span(2, 1, service="s" * 90, error=True)]
    answer = shown(build(TraceData(TRACE, spans)), limit=10).to_json()
    assert show.render(answer, Console(width)).count("\n") >= 3


def test_a_data_store_is_told_once_and_by_its_name():
    told = {
        "SELECT orders": {"db.system.name": "postgresql", "db.query.text": "select * from orders"},
        "COMMIT": {"db.system.name": "postgresql", "db.query.text": "COMMIT"},
        "connect": {"db.system.name": "postgresql", "server.address": "db.local"},
        "wait for a connection": {"db.system.name": "postgresql"},
        "GET": {"db.system.name": "redis", "db.query.text": "GET ?", "server.address": "cache"},
        "PIPELINE": {"db.system.name": "redis", "db.query.text": "GET ?; SET ? ?"},
    }
    spans = [span(1, 0)]
    for number, (name, attributes) in enumerate(told.items(), start=2):
        spans.append(replace(span(number, 1, name=name), kind=SpanKind.CLIENT, attributes=attributes))
    text = show.render(shown(build(TraceData(TRACE, spans)), limit=200).to_json(), Console(width=100))
    assert [line.strip().removesuffix("0.50 µs").rstrip() for line in text.splitlines() if "→" in line] == [
        "→ SELECT orders  select * from orders",
        "→ COMMIT",
        "→ connect  postgresql db.local",
        "→ wait for a connection  postgresql",
        "→ redis GET ?",
        "→ PIPELINE  redis GET ?; SET ? ?",
    ]
