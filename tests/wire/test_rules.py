"""Rules: what they hold of, and what is no rule."""

from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aftertrace.errors import UsageError
from aftertrace.model import Resource, Span, SpanEvent, SpanKind, StatusCode, Value, ValueKind
from aftertrace.wire import kinds, records, rules

SPAN = Span(
    "ab" * 16, "cd" * 8, "", "GET /cart/{id}", SpanKind.SERVER, 1_000, 1_000 + 600_000_000,
    Resource({"service.name": "orders"}), StatusCode.ERROR,
    attributes={"http.route": "/cart/{id}", "http.request.method": "GET", "http.response.status_code": 502,
                "tenant": "Blue Co", "items": 7, "beta": True},
    events=(SpanEvent(2, "exception", {"exception.type": "KeyError"}),),
)  # fmt: skip


@pytest.mark.parametrize(
    "expression",
    [
        "service=orders", "service!=carts", "service~ORD", "route=/cart/{id}", 'route="GET /cart/{id}"', "name~cart",
        "status>=500", "status=502", "status=error", "status!=ok", "error", "error=KeyError", "error!=ValueError",
        "duration>500ms", "duration<=1s", 'tenant="Blue Co"', "tenant~blue", "items>6", "items=7", "beta=true",
        "missing!=x", "service=orders error duration>0.5s items<8",
    ],
)  # fmt: skip
def test_holds(expression):
    assert rules.parse(expression).fits(SPAN)


@pytest.mark.parametrize(
    "expression",
    [
        "service=order", "route=/cart", "status<500", "status=ok", "duration>600ms", "tenant=Blue", "items>7",
        "missing=x", "missing>1", "tenant>1", "beta=True", "error=Key", "service=orders status=ok",
    ],
)  # fmt: skip
def test_does_not_hold(expression):
    assert not rules.parse(expression).fits(SPAN)


@pytest.mark.parametrize(
    ("expression", "says"),
    [
        ("", "at least one term"),
        ("cart", "'cart' is not FIELD=VALUE"),
        ('name="x', "a quote is not closed"),
        ("duration=5ms", "duration takes"),
        ("duration>5", "no span of time"),
        ("status=99", "no status"),
        ("status=\N{ARABIC-INDIC DIGIT ONE}00", "no status"),
        ("items>many", "no number"),
        ("since=5m", "it is for `aftertrace ls`"),
        ("a=b " * 30, "over 20 terms"),
        ("a=" + "b" * 2000, "over 1000 characters"),
    ],
)
def test_what_is_no_rule_is_told(expression, says):
    with pytest.raises(UsageError, match=says):
        rules.parse(expression)


@given(st.text(max_size=200))
def test_any_text_is_a_rule_or_an_error_of_ours(text):
    with suppress(UsageError):
        rules.parse(text).fits(SPAN)


@given(st.text(min_size=1, max_size=50).filter(lambda text: "\n" not in text))
def test_a_quoted_value_is_read_as_it_was(value):
    (term,) = rules.parse(f"tenant={rules.quoted(value)}").terms
    assert term.value == value


def test_an_open_span_lasts_until_now():
    under_way = Span(**{name: getattr(SPAN, name) for name in SPAN.__slots__} | {"end_ns": 0})
    rule = rules.parse("duration>1s")
    assert rule.fits(under_way, SPAN.start_ns + 2_000_000_000)
    assert not rule.fits(under_way, SPAN.start_ns + 500_000_000)


NAMES = st.sampled_from(["GET /cart/{id}", "/cart/{id}", "cart", "17", "true", "é", "None", "[1]", "a b", "1e3"])


def captured(value):
    if isinstance(value, list):
        return Value(ValueKind.SEQUENCE, "list", items=tuple(captured(one) for one in value), size=len(value))
    return Value(ValueKind.SCALAR, type(value).__name__, value)


VALUES = st.one_of(NAMES, st.integers(-99, 99), st.booleans(), st.floats(allow_nan=False), st.lists(NAMES, max_size=2))


@given(
    field=st.sampled_from(["name", "route", "error", "user.id", "http.route"]),
    op=st.sampled_from(["=", "!=", "~", "!~"]),
    wanted=NAMES,
    name=NAMES,
    attributes=st.dictionaries(st.sampled_from(["user.id", "http.route", "http.request.method"]), VALUES),
    kind=NAMES,
)
def test_what_may_not_hold_does_not_fit(field, op, wanted, name, attributes, kind):
    """The look at the raw records never turns away what the span itself would fit."""
    uid, trace = bytes(range(8)), bytes(range(16))
    values = [(key, captured(value)) for key, value in attributes.items()]
    raised = [("exception.type", captured(kind))]
    told = b"".join(
        records.encode(one, 0)
        for one in (
            kinds.SpanStart(5, 0, uid.hex(), trace.hex(), "", 2, 0, False, 0, name, "", tuple(values)),
            kinds.SpanEventRecord(6, 0, uid.hex(), 0, "exception", tuple(raised)),
        )
    )
    event = SpanEvent(1, "exception", {"exception.type": kind})
    found = replace(SPAN, name=name, attributes=attributes, events=(event,))
    rule = rules.parse(f"{field}{op}{rules.quoted(wanted)}")
    if rule.fits(found):
        assert rule.may_hold(told, None)


@given(st.integers(0, 10**10), st.sampled_from([">", ">=", "<", "<="]), st.integers(0, 10**4), st.floats(-0.04, 0.04))
def test_how_long_it_lasted_need_not_be_exact(lasted, op, limit_ms, off):
    rule = rules.parse(f"duration{op}{limit_ms}ms")
    if rule.fits(replace(SPAN, start_ns=0, end_ns=max(round(lasted * (1 + off)), 1))):
        assert rule.may_hold(b"", lasted)
    assert rule.may_hold(b"", None)
