"""The critical path over made-up span trees: its segments always cover the request exactly, whatever the spans are."""

from __future__ import annotations

import time
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aftertrace.explain.slowness.intervals import Intervals
from aftertrace.explain.slowness.path import Kind, Path, critical, template
from aftertrace.model import Resource, Span, SpanKind
from aftertrace.reconstruct.tree import SpanTree

SQL = {"db.system.name": "sqlite", "db.query.text": "SELECT a FROM b WHERE c = ?"}


def span(name: str, parent: str, start: int, end: int, service: str = "a", kind: int = 1, **more: Any) -> Span:
    """``name`` is its id, too."""
    return Span("t", name, parent, name, SpanKind(kind), start, end, Resource({"service.name": service}), **more)


def tree(*spans: Span) -> SpanTree:
    return SpanTree({one.span_id: one for one in spans})


def told(path: Path | None) -> list[tuple[str, int, int]]:
    assert path is not None
    return [(one.span.span_id, one.start_ns, one.end_ns) for one in path.segments]


def check(path: Path) -> None:
    assert sum(one.duration_ns for one in path.segments) == path.duration_ns == path.end_ns - path.start_ns
    assert path.segments[0].start_ns == path.start_ns
    assert path.segments[-1].end_ns == path.end_ns
    assert all(one.duration_ns > 0 for one in path.segments)
    assert all(one.end_ns == other.start_ns for one, other in pairwise(path.segments))
    assert sum(row.total_ns for row in path.rows()) == path.duration_ns


def test_one_after_the_other() -> None:
    found = critical(tree(span("r", "", 0, 100), span("x", "r", 10, 30), span("y", "r", 40, 90)))
    assert told(found) == [("r", 0, 10), ("x", 10, 30), ("r", 30, 40), ("y", 40, 90), ("r", 90, 100)]


def test_of_parallel_children_the_last_to_end() -> None:
    found = critical(tree(span("r", "", 0, 100), span("x", "r", 10, 90), span("y", "r", 12, 50), span("z", "r", 0, 9)))
    assert told(found) == [("z", 0, 9), ("r", 9, 10), ("x", 10, 90), ("r", 90, 100)]


def test_where_nothing_had_ended_what_ran() -> None:
    found = critical(tree(span("r", "", 0, 20), span("x", "r", 0, 10), span("y", "r", 5, 20)))
    assert told(found) == [("x", 0, 5), ("y", 5, 20)]


def test_what_had_ended_before_goes_before_what_went_on() -> None:
    spans = [span("r", "", 0, 150), span("d", "r", 0, 149), span("x", "r", 0, 40), span("y", "r", 50, 150)]
    assert told(critical(tree(*spans))) == [("x", 0, 40), ("d", 40, 50), ("y", 50, 150)]


def test_a_server_within_its_client() -> None:
    spans = [span("r", "", 0, 100, kind=2), span("c", "r", 10, 90, kind=3), span("s", "c", 20, 80, "b", 2),
             span("q", "s", 30, 70, "b", 3, attributes=SQL)]  # fmt: skip
    found = critical(tree(*spans))
    assert found is not None
    assert [(one.span.span_id, one.kind, one.duration_ns) for one in found.segments] == [
        ("r", Kind.CODE, 10), ("c", Kind.CALL, 10), ("s", Kind.CODE, 10), ("q", Kind.STATEMENT, 40),
        ("s", Kind.CODE, 10), ("c", Kind.CALL, 10), ("r", Kind.CODE, 10),
    ]  # fmt: skip


@pytest.mark.parametrize("off", [-(10**12), -70, -15, 0, 15, 70, 10**12])
def test_another_hosts_clock(off: int) -> None:
    """However far off it is: the server ran for as long as it says, within its client."""
    spans = [span("r", "", 1000, 1100), span("c", "r", 1010, 1090, kind=3),
             span("s", "c", 1020 + off, 1080 + off, "b", 2),
             span("q", "s", 1030 + off, 1070 + off, "b", 3)]  # fmt: skip
    found = critical(tree(*spans))
    assert found is not None
    assert (found.root.span_id, found.duration_ns) == ("r", 100)
    check(found)
    own = {one: sum(each.duration_ns for each in found.segments if each.span.span_id == one) for one in "rcsq"}
    assert own == {"r": 20, "c": 20, "s": 20, "q": 40}


def test_a_server_that_went_on_after_its_client_gave_up() -> None:
    spans = [span("r", "", 0, 100), span("c", "r", 10, 50, kind=3), span("s", "c", 20, 900, "b", 2)]
    found = critical(SpanTree({one.span_id: one for one in spans}))
    assert found is not None
    assert found.root.span_id == "r"
    assert told(found) == [("r", 0, 10), ("c", 10, 20), ("s", 20, 50), ("r", 50, 100)]


def test_nobody_waited_for_what_outlived_its_parent() -> None:
    spans = [span("r", "", 0, 100_000), span("x", "r", 10_000, 30_000), span("background", "r", 20_000, 500_000)]
    assert told(critical(tree(*spans))) == [("r", 0, 10_000), ("x", 10_000, 30_000), ("r", 30_000, 100_000)]


def test_nobody_waited_for_a_queues_consumer() -> None:
    spans = [span("r", "", 0, 100), span("p", "r", 10, 20, kind=4), span("w", "p", 15, 400, "worker", 5)]
    assert told(critical(tree(*spans))) == [("r", 0, 10), ("p", 10, 20), ("r", 20, 100)]


def test_a_request_that_has_not_ended() -> None:
    spans = [span("r", "", 0, 0), span("c", "r", 10, 0, kind=3), span("s", "c", 20, 0, "b", 2), span("q", "s", 30, 60)]
    found = critical(tree(*spans), 100, {"s": 80})
    assert told(found) == [("r", 0, 10), ("c", 10, 20), ("s", 20, 30), ("q", 30, 60), ("s", 60, 80), ("s", 80, 100)]
    assert found is not None
    assert [one.kind for one in found.segments][-2:] == [Kind.CODE, Kind.UNRECORDED]


def test_a_span_that_was_never_ended_is_as_long_as_what_is_known_of_it() -> None:
    spans = [span("r", "", 0, 100), span("leak", "r", 10, 0), span("x", "leak", 20, 40), span("y", "r", 50, 60)]
    found = critical(tree(*spans))
    assert told(found) == [("r", 0, 10), ("leak", 10, 20), ("x", 20, 40), ("r", 40, 50), ("y", 50, 60), ("r", 60, 100)]


def test_a_server_whose_client_sent_no_span_lies_in_the_call_around_it() -> None:
    spans = [span("r", "", 0, 100), span("c", "r", 10, 90, kind=3), span("other", "r", 91, 99, kind=3),
             span("s", "lost", 20, 80, "b", 2)]  # fmt: skip
    found = critical(tree(*spans))
    assert told(found) == [
        ("r", 0, 10), ("c", 10, 20), ("s", 20, 80), ("c", 80, 90), ("r", 90, 91), ("other", 91, 99), ("r", 99, 100),
    ]  # fmt: skip


def test_no_spans_or_no_time() -> None:
    assert critical(tree()) is None
    assert critical(tree(span("r", "", 5, 5))) is None


@pytest.mark.parametrize("shape", ["flat", "parallel", "deep", "comb", "stairs"])
def test_ten_thousand_children(shape: str) -> None:
    many = 10_000
    spans = [span("r", "", 0, 10 * many)]
    for n in range(many):
        name = f"{n:05}"
        if shape == "flat":
            spans.append(span(name, "r", 10 * n, 10 * n + 6))
        elif shape == "parallel":
            spans.append(span(name, "r", n % 7, 10 * many - n % 5))
        elif shape == "deep":
            spans.append(span(name, f"{n - 1:05}" if n else "r", n, 10 * many - n))
        elif shape == "comb":  # one beside all: what nobody waited for, again and again between the others
            spans.append(span(name, "r", 10 * n, 10 * n + (5 if n else 10 * many - 1)))
        else:
            spans.append(span(name, "r", 10 * n, 10 * n + 5_000))
    began = time.process_time()
    found = critical(tree(*spans))
    assert found is not None
    check(found)
    assert time.process_time() - began < 5
    if shape == "flat":
        assert len(found.segments) == 2 * many
    if shape == "deep":
        assert found.segments[len(found.segments) // 2].span.span_id == f"{many - 1:05}"


TIMES = st.integers(min_value=0, max_value=60)


@st.composite
def trees(draw: st.DrawFn) -> list[Span]:
    """Any spans: circles, missing parents, ends before starts, none, services and kinds at random."""
    count = draw(st.integers(min_value=1, max_value=24))
    ids = [f"{n}" for n in range(count)]
    made = []
    for one in ids:
        start, end = draw(TIMES), draw(st.one_of(st.just(0), TIMES))
        parent = draw(st.sampled_from([*ids, "", "missing"]))
        attributes = draw(st.sampled_from([{}, SQL, {"url.full": "http://[/x"}, {"http.request.method": "GET"}]))
        service, kind = draw(st.sampled_from("abc")), draw(st.integers(min_value=0, max_value=5))
        made.append(span(one, parent, start, end, service, kind, attributes=attributes))
    return made


@settings(max_examples=500, deadline=None)
@given(trees(), st.integers(min_value=0, max_value=80))
def test_segments_cover_the_request_exactly(spans: list[Span], until: int) -> None:
    built = tree(*spans)
    found = critical(built, until, {"0": until, "1": 7})
    longest = max(((one.end_ns or max(until, *(max(s.start_ns, s.end_ns) for s in spans))) - one.start_ns)
                  for one in built.roots)  # fmt: skip
    assert (found is None) == (longest <= 0)
    if found is not None:
        assert found.duration_ns == longest
        check(found)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(min_value=1, max_value=50), min_size=1, max_size=12), st.data())
def test_a_sequential_request_is_told_span_by_span(lengths: list[int], data: st.DataObject) -> None:
    """Nested at random, never overlapping: every span's own time is on the path, and nothing else."""
    spans, now = [span("r", "", 0, 0)], 0
    own = {"r": 0}
    for n, length in enumerate(lengths):
        gap = data.draw(st.integers(min_value=1, max_value=9))
        inner = data.draw(st.integers(min_value=0, max_value=length - 1))
        own["r"] += gap
        spans.append(span(f"c{n}", "r", now + gap, now + gap + length + inner))
        own[f"c{n}"] = length
        if inner:
            spans.append(span(f"i{n}", f"c{n}", now + gap, now + gap + inner))
            own[f"i{n}"] = inner
        now += gap + length + inner
    spans[0] = span("r", "", 0, now + 1)
    own["r"] += 1
    found = critical(tree(*spans))
    assert found is not None
    check(found)
    totals: dict[str, int] = {}
    for one in found.segments:
        totals[one.span.span_id] = totals.get(one.span.span_id, 0) + one.duration_ns
    assert totals == own


@given(st.lists(st.tuples(TIMES, TIMES)), st.lists(st.tuples(TIMES, TIMES)))
def test_intervals(a: list[tuple[int, int]], b: list[tuple[int, int]]) -> None:
    def moments(pairs: list[tuple[int, int]]) -> set[int]:
        return {moment for low, high in pairs for moment in range(low, high)}

    one, other = Intervals(a), Intervals(b)
    assert one.total == len(moments(a))
    assert one.common(other) == other.common(one) == len(moments(a) & moments(b))
    assert one.within(10, 40) == len(moments(a) & set(range(10, 40)))


def test_urls_by_what_they_have_in_common() -> None:
    assert template("http://orders:8002/carts/cart-12?x=1") == "http://orders:8002/carts/?"
    assert template("http://orders/carts/deadbeefdeadbeef01/items") == "http://orders/carts/?/items"
    assert template("/plain/path") == "/plain/path"
    assert template("http://[/x") == "http://[/x"
