"""What queries in braces say of spans: SQL and a plain evaluator give the same traces, and no value becomes SQL."""

from __future__ import annotations

import math
import re
import secrets
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aftertrace.errors import UsageError
from aftertrace.model import Resource, Span, SpanKind, StatusCode
from aftertrace.store import query
from aftertrace.traceql import pattern
from aftertrace.traceql.parse import parse
from aftertrace.traceql.tree import (
    And,
    Both,
    Comparison,
    Constant,
    Either,
    Field,
    Filter,
    Kind,
    Length,
    Level,
    Not,
    Scope,
)
from aftertrace.wire.bundle import Candidate

from ..traceql.written import compared, of_spans, span_comparisons, spansets, written
from .conftest import NOW, Maker

VALUES = [
    "",
    "KeyError",
    "a",
    "a\nb",
    "' OR 1=1 --",
    0,
    1,
    -1,
    2**53 + 1,
    2**63 - 1,
    0.5,
    1e300,
    float("inf"),
    float("nan"),
]
VALUES += [True, False, None, [1, "a"], {"a": 1}, b"\xff", "<redacted>", "x <redacted:email> y", "é"]
KEYS = ["http.route", "a", "x-request-id", "with blank", 'qu"ote', "0"]
EVER = (0, 2**63 - 1)


def _span(number: int) -> Span:
    """Each of another kind, the same in each run."""
    trace_id = f"{number:032x}"
    pick = [VALUES[(number * 7 + step * 5) % len(VALUES)] for step in range(4)]
    attributes = {KEYS[(number + step) % len(KEYS)]: value for step, value in enumerate(pick[:2])}
    resource = {"service.name": f"s{number % 3}", KEYS[number % 4]: pick[2]}
    return Maker(trace_id).span(
        ["", "KeyError", "a\nb", "GET /x", "<redacted>"][number % 5],
        kind=SpanKind(number % 6),
        status=StatusCode(number % 3),
        status_message=["", "a", "boom"][number % 3],
        end_ns=0 if number % 11 == 0 else NOW + number * 10**8,
        start_ns=NOW,
        attributes=attributes,
        resource=Resource(resource),
    )


@pytest.fixture(scope="module")
def spans(store):
    """Traces of one span each, and some of three."""
    made = [_span(number) for number in range(1, 60)]
    made += [
        Span(
            **{
                **{name: getattr(one, name) for name in one.__slots__},
                "trace_id": f"{100 + number // 3:032x}",
                "span_id": secrets.token_hex(8),
            }
        )
        for number, one in enumerate(made[:30])
    ]
    made += [Maker(f"{200 + number:032x}").span("each", attributes={"v": value}) for number, value in enumerate(VALUES)]
    store.add_spans(made)
    store.add_spans(
        [replace(one, end_ns=0, status=StatusCode.UNSET, attributes={}, name="early") for one in made if _is_twice(one)]
    )
    for trace_id in {one.trace_id for one in made}:
        store.add_logs([Maker(trace_id).keep()])
    store.add_spans([Maker("ff" * 16).span("KeyError", attributes={"a": "a"})])  # not kept
    return made


def _is_twice(span: Span) -> bool:
    """It was sent before it had ended, too."""
    return span.end_ns != 0 and int(span.trace_id, 16) < 8


def _twice(spans: list[Span]) -> set[str]:
    return {one.trace_id for one in spans if _is_twice(one)}


# -- the evaluator: True, False, None for unknown


def _column(span: Span, scope: Scope, name: str):
    """(there, value, known)"""
    if scope is Scope.ANY:
        found = _column(span, Scope.SPAN, name)
        return found if found[0] or not found[2] else _column(span, Scope.RESOURCE, name)
    held = span.attributes if scope is Scope.SPAN else span.resource.attributes
    if name in held:
        text = repr(held[name])
        return True, held[name], "<redacted" not in text
    return False, None, scope is Scope.RESOURCE or span.end_ns != 0


def _intrinsic(span: Span, name: str):
    match name:
        case "duration":
            return span.end_ns - span.start_ns if span.end_ns else None
        case "status":
            return int(span.status) if span.end_ns else None
        case "kind":
            return int(span.kind)
        case "span:id":
            return span.span_id
        case "trace:id":
            return span.trace_id
        case _:
            text = span.name if name == "name" else span.status_message
            return None if "<redacted" in text else text


_OPS = {"=": "__eq__", "!=": "__ne__", "<": "__lt__", "<=": "__le__", ">": "__gt__", ">=": "__ge__"}


def _leaf(one: Comparison, span: Span) -> bool | None:
    assert isinstance(one.right, Constant)
    assert not isinstance(one.left, Length)
    wanted, name = one.right.value, one.left.name
    if one.left.scope is Scope.INTRINSIC:
        found = _intrinsic(span, name)
        if found is None:
            return None
        return _compared(found, one.op, int(wanted) if isinstance(wanted, int) else wanted)
    there, value, known = _column(span, one.left.scope, name)
    if one.right.kind is Kind.NIL:
        return (there is (one.op == "!=")) if there or known else None
    if not known:
        return None
    if not there:
        return False
    if one.op in {"=", "!="}:
        same = _kind(value) is _kind(wanted) and value == wanted
        return same is (one.op == "=")
    return _compared(value, one.op, wanted) if _kind(value) is _kind(wanted) else False


def _kind(value):
    return float if type(value) in {int, float} else type(value)


def _compared(value, op, wanted):
    if op in {"=~", "!~"}:
        return (re.fullmatch(wanted, value, re.DOTALL) is not None) is (op == "=~")
    if isinstance(value, int) and isinstance(wanted, float) and op in {"=", "!="}:
        return (value == wanted) is (op == "=")
    return value.__class__ is not bool and bool(eval(f"value {'==' if op == '=' else op} wanted"))


def _condition(node, span: Span) -> bool | None:
    match node:
        case None:
            return True
        case Comparison():
            return _leaf(node, span)
        case Not(part):
            found = _condition(part, span)
            return None if found is None else not found
        case _:
            found = [_condition(part, span) for part in node.parts]
            decides = not isinstance(node, And)
            return decides if decides in found else None if None in found else not decides


def _found(node, spans: list[Span], *, certain: bool) -> set[str]:
    match node:
        case Filter(condition):
            wanted = {True} if certain else {True, None}
            return {one.trace_id for one in spans if _condition(condition, one) in wanted}
        case Either(parts):
            return set.union(*(_found(part, spans, certain=certain) for part in parts))
        case _:
            parts = node.parts if isinstance(node, Both) else (node.left, node.right)
            return set.intersection(*(_found(part, spans, certain=certain) for part in parts))


@pytest.mark.parametrize("op", [*_OPS, "=~", "!~"])
def test_every_value_against_every_other(store, spans, op):
    for wanted in VALUES:
        kind = Kind.TEXT if isinstance(wanted, str) else Kind.NUMBER if isinstance(wanted, int | float) else None
        if kind is None or isinstance(wanted, bool) or (op in {"=~", "!~"} and kind is Kind.NUMBER):
            continue
        if isinstance(wanted, float) and not math.isfinite(wanted):
            continue  # not to be written
        one = Comparison(Field(Scope.SPAN, "v", 0, ""), op, Constant(kind, wanted, 0, ""), 0)
        for condition in (one, Not(one, 0)):
            parsed = parse(written(Filter(condition, Level.SPAN, 0)))
            assert {each.trace_id for each in store.kept(500, parsed.text)} == _found(parsed.root, spans, certain=True)
            may = {each.trace_id for each in store.candidates(parsed, EVER, None, 500)}
            assert may - _twice(spans) == _found(parsed.root, spans, certain=False) - _twice(spans)


SLOW = settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])


@SLOW
@given(st.data())
def test_ls_lists_exactly_what_holds(store, spans, data):
    root = data.draw(spansets(compared(of_spans) | span_comparisons.filter(_in_sql), structural=False))
    text = written(root)
    expected = _found(parse(text).root, spans, certain=True)
    assert {one.trace_id for one in store.kept(500, text)} == expected


def _in_sql(one: Comparison) -> bool:
    return not (isinstance(one.left, Length) or one.left.name in {"trace:rootName", "trace:duration"})


@SLOW
@given(st.data())
def test_find_leaves_out_nothing_that_may_hold(store, spans, data):
    root = data.draw(spansets(span_comparisons.filter(_in_sql)))
    asked = parse(written(root))
    wanted = _found(asked.root, spans, certain=False)
    found = {one.trace_id for one in store.candidates(asked, EVER, None, 500)}
    assert found >= wanted
    assert found - _twice(spans) == wanted - _twice(spans), "what spans rule out is not judged"
    assert store.count(asked, EVER)[0] == len(found)


def test_candidates_come_newest_first_and_in_pages(store, spans):
    asked = parse("{}")
    whole = store.candidates(asked, EVER, None, 500)
    assert [one.time_ns for one in whole] == sorted((one.time_ns for one in whole), reverse=True)
    paged: list[Candidate] = []
    while chunk := store.candidates(asked, EVER, paged[-1] if paged else None, 7):
        paged += chunk
    assert paged == whole
    assert store.count(asked, EVER) == (len(whole), len(whole))
    middle = whole[len(whole) // 2].time_ns
    since = store.candidates(asked, (middle, EVER[1]), None, 500)
    assert since == [one for one in whole if one.time_ns >= middle]
    assert store.candidates(asked, (0, 1), None, 500) == []


@SLOW
@given(st.text(alphabet="ab.*+?()[]^$|\\dw{}1,i:-\n \x00é", max_size=8))
def test_regular_expressions_are_the_same_in_sql(store, spans, expression):
    try:
        pattern.compiled(expression)
    except pattern.BadPattern:
        return
    one = Comparison(Field(Scope.SPAN, "v", 0, ""), "=~", Constant(Kind.TEXT, expression, 0, ""), 0)
    found = {each.trace_id for each in store.kept(500, written(Filter(one, Level.SPAN, 0)))}
    each = {span.trace_id: span.attributes["v"] for span in spans if isinstance(span.attributes.get("v"), str)}
    assert found == {
        trace for trace, text in each.items() if "<redacted" not in text and pattern.matches(text, expression)
    }


def test_a_span_that_came_twice_is_what_it_was_at_its_end(store, spans):
    assert store.kept(500, '{ name = "early" }') == []
    assert len(_twice(spans)) == 7


def test_terms_and_braces_together(store, spans):
    service = spans[0].service
    expected = {one.trace_id for one in spans if one.service == service} & {
        one.trace_id for one in spans if one.status is StatusCode.ERROR and one.end_ns
    }
    found = {one.trace_id for one in store.kept(500, f"service={service} {{ status = error }}")}
    assert found == expected
    assert found


@pytest.mark.parametrize(
    ("text", "position", "why"),
    [
        ("service=orders { arg.qty < 0 }", 18, "spans alone do not tell it"),
        ("{} >> {}", 4, "how spans lie to each other"),
        ("{ trace:duration > 1s }", 3, "spans alone do not tell it"),
        ("{ .a = .b }", 6, "spans alone do not tell it"),
        ("service=orders { .a = }", 23, "is not expected"),
        ("{ .a = 1 } service=orders", 12, "is not expected"),
    ],
)
def test_what_ls_cannot_be_asked(text, position, why):
    with pytest.raises(UsageError) as caught:
        query.parse(text)
    assert caught.value.message.startswith(f"At position {position} of the query, ")
    assert why in caught.value.message


HOSTILE = [
    "'",
    "' OR 1=1 --",
    "\\' OR 1 --",
    "{p0:String}",
    "') UNION ALL SELECT 1 --",
    "\x00",
    "%s",
    "\\",
    "`",
    ";DROP TABLE kept",
]
HOSTILE += ["{{", "}}", "{where}", "'||(SELECT 1)||'", "/*", "\\x27"]


@pytest.mark.parametrize("value", HOSTILE)
@pytest.mark.parametrize(
    "place", ["name = {}", "span.a = {}", "name != {}", "span.{} = 1", "resource.{} =~ `.*`", ".{} != nil", "name > {}"]
)
def test_values_and_names_are_only_values(store, spans, place, value):
    quoted = '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    condition = place.format(quoted)
    parsed = parse(f"{{ {condition} }}")
    expected = _found(parsed.root, spans, certain=True)
    assert {one.trace_id for one in store.kept(500, f"{{ {condition} }}")} == expected
    assert {one.trace_id for one in store.candidates(parsed, EVER, None, 500)} >= expected
    assert len(store.kept(500)) > 60


@given(spansets(span_comparisons.filter(_in_sql), structural=False))
def test_no_text_of_a_query_is_written_into_the_sql(root):
    """The SQL of two queries that differ in their values alone is the same."""
    sql = query.parse(written(root)).sql
    other = query.parse(
        re.sub(r'"(?:[^"\\]|\\.)*"', lambda match: '"zzz"' if "zzz" not in match[0] else match[0], written(root))
    )
    assert other.sql == sql
    assert all("zzz" not in one for one in other.sql)
