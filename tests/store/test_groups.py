"""Failure groups, siblings and neighbours, from the kept marks that agents send, old and new."""

from __future__ import annotations

import secrets

import pytest

from aftertrace.errors import UsageError
from aftertrace.explain import groups as question
from aftertrace.model import Resource
from aftertrace.store import groups

from .conftest import NOW, Maker

HOUR = 3600 * 10**9


def kept(store, at_ns: int, service: str = "inventory", trace_id: str = "", version: str = "", **said) -> str:
    """One kept mark; gives the trace's id."""
    trace_id = trace_id or secrets.token_hex(16)
    made = Maker(trace_id).keep(said.pop("trigger", "unhandled-exception"), said.pop("reason", "KeyError: 'CH-'"))
    attributes = {**made.attributes, **{f"aftertrace.keep.{name}": value for name, value in said.items()}}
    resource = Resource({"service.name": service} | ({"service.version": version} if version else {}))
    fields = {name: getattr(made, name) for name in ("severity", "trace_id", "event_name", "body")}
    record = type(made)(**fields, time_ns=at_ns, attributes=attributes, resource=resource)
    assert store.add_logs([record]) == []
    return trace_id


def of_time(store, start: int, end: int) -> dict[str, object]:
    return {group.id: group for group in store.groups(start, end, 100)}


def test_failures_of_one_cause_are_one_group_with_weights_trend_and_versions(store):
    start, group = NOW + 10 * HOUR, secrets.token_hex(8)
    said = {"group": group, "title": "KeyError in shelf_for", "route": "POST /reserve"}
    for number in range(24):
        newest = kept(store, start + number * HOUR // 24, version=f"2.{number // 12}", weight=2.5, **said)
    found = of_time(store, start, start + HOUR)[group]
    assert (found.title, found.kept, found.count) == ("KeyError in shelf_for", 24, 60.0)
    assert (found.first_ns, found.last_ns, found.newest) == (start, start + 23 * HOUR // 24, newest)
    assert (found.services, found.routes, found.versions) == (["inventory"], ["POST /reserve"], ["2.0", "2.1"])
    assert found.trend == [5.0] * groups.BUCKETS
    assert store.members(group, 3)[0] == newest
    assert len(store.members(group, 3)) == 3
    assert group not in of_time(store, start - HOUR, start - 1)
    assert of_time(store, start + HOUR // 2, start + HOUR)[group].count == 30.0


def test_a_request_counts_once_in_the_group_of_the_service_that_failed_first(store):
    start, inner, outer = NOW + 20 * HOUR, secrets.token_hex(8), secrets.token_hex(8)
    trace = kept(store, start + 5, "inventory", group=inner, weight=3)
    kept(store, start + 7, "orders", trace, group=outer, trigger="server-error", reason="HTTP 500", weight=3)
    kept(store, start + 9, "gateway", trace, group=outer, trigger="server-error", reason="HTTP 500", weight=3)
    found = of_time(store, start, start + 10)
    assert {name: (one.kept, one.count, one.services) for name, one in found.items()} == {
        inner: (1, 3.0, ["inventory"])
    }
    assert [one.trace_id for one in store.kept(5, f"group={inner[:6]}")] == [trace]
    assert [one.trace_id for one in store.kept(5, f"group={outer[:6]}")] == [trace]
    assert trace not in [one.trace_id for one in store.kept(100, f"group!={inner}")]


def test_marks_of_agents_that_name_no_group_are_grouped_by_exception_and_service(store):
    start = NOW + 30 * HOUR
    for reason in ("KeyError: 'CH-'", "KeyError: 'LI-'", "ValueError: x"):
        kept(store, start, reason=reason)
    kept(store, start, "orders")
    found = {one.title: one.kept for one in store.groups(start, start, 10)}
    assert found == {"KeyError in inventory": 2, "ValueError in inventory": 1, "KeyError in orders": 1}


@pytest.mark.parametrize(
    "said",
    [
        {"group": "xyz"},
        {"group": 5, "title": 5, "route": 5, "role": "boss", "weight": "many", "of": "zz"},
        {"weight": float("nan")},
        {"weight": float("inf")},
        {"weight": -1},
        {"weight": True},
        {"title": "t" * 100_000, "route": "r" * 100_000},
    ],
)
def test_what_a_mark_says_may_be_anything(store, said):
    at_ns = NOW + 40 * HOUR
    trace = kept(store, at_ns, **said)
    mark = store.trace(trace).keeps[0]
    assert mark.role == "failure"
    assert len(mark.group) == 16
    assert 1.0 <= mark.weight <= 1e9
    assert len(mark.title) <= 300
    assert len(mark.route) <= 300
    assert mark.of == ""
    assert [one for one in store.groups(at_ns, at_ns, 100) if one.newest]


def test_siblings_are_healthy_ones_of_the_same_route_nearest_in_time_first(store):
    start = NOW + 50 * HOUR
    failed = kept(store, start + 100, route="POST /reserve", group=secrets.token_hex(8))
    said = {"trigger": "sibling", "reason": "healthy", "role": "sibling"}
    far, near = (kept(store, start + at, route="POST /reserve", **said) for at in (0, 90))
    kept(store, start + 95, route="GET /stock", **said)
    kept(store, start + 95, "orders", route="POST /reserve", **said)
    assert store.siblings(failed, 10) == [near, far]
    assert store.siblings(failed, 1) == [near]
    assert store.siblings("ab" * 16, 10) == []
    lonely = kept(store, start)
    assert store.siblings(lonely, 10) == []  # its agent named no route
    listed = [one.trace_id for one in store.kept(1000, "")]
    assert failed in listed
    assert near not in listed
    assert near in [one.trace_id for one in store.kept(1000, "role=sibling")]
    assert near not in [one.newest for one in store.groups(start, start + 100, 100)]


def test_neighbours_are_those_that_were_kept_for_it(store):
    failed = kept(store, NOW)
    said = {"trigger": "neighbour", "reason": "overlapped", "role": "neighbour", "of": failed}
    found = {kept(store, NOW + 1, **said), kept(store, NOW + 2, "orders", **said)}
    kept(store, NOW + 3, **(said | {"of": secrets.token_hex(16)}))
    assert set(store.neighbours(failed, 10)) == found
    assert len(store.neighbours(failed, 1)) == 1


def test_what_is_asked_for(store):
    for wrong in ("", "x", "15", "15 m", "-1h", "1" * 10 + "d"):
        with pytest.raises(UsageError) as caught:
            question.ask(store, since=wrong, limit=5)
        assert caught.value.slug == "bad-since"
    with pytest.raises(UsageError):
        question.ask(store, since="1h", limit=0)
    answer = question.ask(store, since="999999d", limit=2).to_json()
    assert len(answer["groups"]) == 2
    assert answer["more"]
