"""Rules: what they hold of, and what is no rule."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aftertrace.errors import UsageError
from aftertrace.model import Resource, Span, SpanEvent, SpanKind, StatusCode
from aftertrace.wire import rules

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
