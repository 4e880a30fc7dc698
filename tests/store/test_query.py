"""``ls`` lists what was kept, filtered as asked; a query that cannot be read says where."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aftertrace.errors import UsageError
from aftertrace.model import SpanEvent, SpanKind, StatusCode
from aftertrace.store.query import parse

from .conftest import NOW, Maker

CHECKOUT, CRON, BARE, HEALTHY = "aa" * 16, "bb" * 16, "cc" * 16, "dd" * 16


@pytest.fixture(scope="module")
def shop(store):
    """checkout: gateway -> orders -> inventory, failed; cron: slow; bare: kept, no spans yet; healthy: not kept."""
    make = Maker(CHECKOUT)
    http = {"http.response.status_code": 500, "http.route": "/checkout"}
    root = make.span("POST /checkout", "gateway", kind=SpanKind.SERVER, status=StatusCode.ERROR, attributes=http)
    inner = make.span("o'r\"ders", "orders", root.span_id)
    origin = SpanEvent(1, "exception", {"exception.type": "shop.BadWeight"})
    passed_on = SpanEvent(1, "exception", {"exception.type": "httpx.HTTPStatusError"})
    leaf = make.span("stock", "inventory", inner.span_id, status=StatusCode.ERROR, events=(origin,))
    again = make.span("more", "orders", root.span_id, events=(passed_on,))
    store.add_spans([leaf, again, inner, root])
    uncaught = make.keep("unhandled-exception", "shop.BadWeight: -1", "inventory", time_ns=NOW)
    store.add_logs([make.keep("server-error", "500", "gateway", time_ns=NOW + 50), uncaught])
    make = Maker(CRON)
    start = NOW + 10**9
    store.add_spans([make.span("cron", "worker", start_ns=start, end_ns=start + 3 * 10**9)])
    store.add_logs([make.keep("keep", "odd 100%_", "worker", time_ns=NOW + 60 * 10**9)])
    store.add_logs([Maker(BARE).keep("process-death", "SIGKILL", "mailer", time_ns=NOW + 120 * 10**9)])
    store.add_spans([Maker(HEALTHY).span("POST /checkout", "gateway")])
    return store


def ids(shop, query: str = "") -> list[str]:
    return [kept.trace_id for kept in shop.kept(10, query)]


def test_newest_first_and_only_what_was_kept(shop):
    assert ids(shop) == [BARE, CRON, CHECKOUT]
    assert [kept.trace_id for kept in shop.kept(2)] == [BARE, CRON]


def test_a_line_says_what_matters(shop):
    bare, cron, checkout = shop.kept(10)
    assert (checkout.name, checkout.services) == ("POST /checkout", ["gateway", "orders", "inventory"])
    assert (checkout.status, checkout.http_status, checkout.spans) == ("error", 500, 4)
    assert checkout.error == "shop.BadWeight"  # seen first, not the one that it became
    assert [(t.trigger, t.service) for t in checkout.triggers] == [
        ("unhandled-exception", "inventory"),
        ("server-error", "gateway"),
    ]
    assert checkout.duration_ns == 3_500_000
    assert (cron.status, cron.http_status, cron.error, cron.duration_ns) == ("unset", 0, "", 3 * 10**9)
    assert (bare.name, bare.services, bare.spans, bare.time_ns) == ("", [], 0, NOW + 120 * 10**9)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("service=orders", [CHECKOUT]),
        ("service=order", []),
        ("service~ORDER", [CHECKOUT]),
        ("service!=orders", [BARE, CRON]),
        ("service!~o", [BARE]),
        ('name="POST /checkout"', [CHECKOUT]),
        (r'name="o\'r\"ders"', [CHECKOUT]),
        ("status=error", [CHECKOUT]),
        ("status!=error", [BARE, CRON]),
        ("status=500", [CHECKOUT]),
        ("status!=500", [BARE, CRON]),
        ("status>=500 service=gateway", [CHECKOUT]),
        ("status<500", []),
        ("route~check", [CHECKOUT]),
        ("error~BADWEIGHT", [CHECKOUT]),
        ("trigger=process-death", [BARE]),
        ("trigger!=keep", [BARE, CHECKOUT]),
        ("reason~100%_", [CRON]),
        ("reason~%", [CRON]),
        ("reason~SIG_ILL", []),
        ("duration>1s", [CRON]),
        ("duration<=3.5ms", [CHECKOUT]),
        ("since=80s", [BARE]),
        ("since=2023-11-14T22:14:20+00:00", [BARE, CRON]),
        ("until=2023-11-14T22:13:30Z", [CHECKOUT]),
        ("service=orders trigger=keep", []),
    ],
)
def test_terms(shop, monkeypatch, query, expected):
    monkeypatch.setattr("time.time_ns", lambda: NOW + 150 * 10**9)
    assert ids(shop, query) == expected


@pytest.mark.parametrize(
    ("query", "position", "why"),
    [
        ("checkout", 1, "'checkout' is not FIELD=VALUE"),
        ("service=a  bogus=1", 12, "there is no field 'bogus'"),
        ("service>1", 8, "service takes = != ~ !~, not >"),
        ('name="a b', 1, "a quote is not closed"),
        ('name="a"b', 1, "is not FIELD=VALUE"),
        ("service=", 1, "is not FIELD=VALUE"),
        ("since=soon", 7, "neither a span of time"),
        ("duration>5", 10, "no span of time"),
        ("status=bad", 8, "is no status"),
        ("status>error", 8, "is no status"),
        ("duration=1s", 9, "takes > >= < <="),
    ],
)
def test_a_query_that_cannot_be_read_says_where(query, position, why):
    with pytest.raises(UsageError) as caught:
        parse(query)
    assert caught.value.slug == "bad-query"
    assert caught.value.message.startswith(f"At position {position} of the query, ")
    assert why in caught.value.message
    assert caught.value.message.splitlines()[2] == "  " + " " * (position - 1) + "^"


@pytest.mark.parametrize("field", ["service", "name", "route", "error", "trigger", "reason"])
@pytest.mark.parametrize(
    "value", ["'", "' OR 1=1 --", "\\' OR 1 --", "{p0:String}", "') UNION ALL SELECT 1 --", "\x00", "%s"]
)
def test_values_are_only_values(shop, field, value):
    quoted = value.replace("\\", "\\\\").replace('"', '\\"')
    assert ids(shop, f'{field}="{quoted}"') == []
    assert len(ids(shop)) == 3


@given(st.text())
def test_any_text_is_read_or_refused(text):
    with contextlib.suppress(UsageError):
        conditions = parse(text)
        assert not text.strip() or conditions.sql


@given(st.sampled_from(["service", "name", "reason"]), st.text(min_size=1))
def test_no_value_is_written_into_the_sql(field, value):
    quoted = value.replace("\\", "\\\\").replace('"', '\\"')
    conditions = parse(f'{field}="{quoted}"')
    assert conditions.parameters == {"p0": value}
    assert "{p0:String}" in conditions.sql[0]
