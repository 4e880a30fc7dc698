"""Queries are read as they are written; what cannot be read is refused at the character."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from aftertrace.errors import UsageError
from aftertrace.model import SpanKind, StatusCode
from aftertrace.traceql import pattern
from aftertrace.traceql.parse import LONGEST, parse
from aftertrace.traceql.tree import And, Below, Comparison, Constant, Field, Filter, Kind, Level, Scope

from .written import bare, comparisons, spansets, written


def only(text: str) -> Comparison:
    root = parse(text).root
    assert isinstance(root, Filter)
    assert isinstance(root.condition, Comparison)
    return root.condition


@given(spansets(comparisons))
def test_a_tree_is_read_back_from_its_text(root):
    assert bare(parse(written(root)).root) == bare(root)


@given(spansets(comparisons), st.sampled_from(["", " ", "\n", "\t "]))
def test_blanks_do_not_matter(root, blank):
    text = written(root)
    assert bare(parse(blank + text.replace(" && ", f"{blank}&&{blank}") + blank).root) == bare(parse(text).root)


def test_positions_are_those_of_the_text():
    text = '{ call.function = "reserve" && !(arg.qty < 0) } >> { kind = server }'
    root = parse(text).root
    assert isinstance(root, Below)
    assert text[root.at :].startswith(">>")
    assert isinstance(root.left, Filter)
    assert isinstance(root.left.condition, And)
    assert text[root.left.condition.at :].startswith("&&")
    first, second = root.left.condition.parts
    assert text[first.at :].startswith('= "reserve"')
    assert text[first.right.at :].startswith('"reserve"')
    assert text[second.at :].startswith("!(")
    assert text[second.part.left.at :].startswith("arg.qty")


@pytest.mark.parametrize(
    ("text", "level"),
    [
        ("{}", Level.SPAN),
        ('{ name = "a" || .x = 1 }', Level.SPAN),
        ("{ name = `a` && arg.x = 1 }", Level.CALL),
        ("{ return = null && resource.x = 1 }", Level.CALL),
        ("{ local.x = 1 && call.duration > 1s }", Level.STEP),
        ('{ exception.type = "KeyError" }', Level.STEP),
        ("{ arg.x < local.y }", Level.STEP),
    ],
)
def test_the_finest_field_says_what_is_judged(text, level):
    assert [one.level for one in parse(text).filters()] == [level]


@pytest.mark.parametrize(
    ("written", "scope", "name", "keys"),
    [
        ("arg.item.qty", Scope.ARG, "item", ("qty",)),
        ("local.cart[0].price", Scope.LOCAL, "cart", (0, "price")),
        ('local.cart["a b"][-1]', Scope.LOCAL, "cart", ("a b", -1)),
        ('local.cart."a b"', Scope.LOCAL, "cart", ("a b",)),
        ("return", Scope.RETURN, "", ()),
        ("return[1].x", Scope.RETURN, "", (1, "x")),
        ("return.status", Scope.RETURN, "", ("status",)),
        ("exception.args[0]", Scope.EXCEPTION, "args", (0,)),
        ("span.http.response.status_code", Scope.SPAN, "http.response.status_code", ()),
        ("resource.service.name", Scope.RESOURCE, "service.name", ()),
        (".x-request-id", Scope.ANY, "x-request-id", ()),
        ('span."a {b}"', Scope.SPAN, "a {b}", ()),
        ('."a"', Scope.ANY, "a", ()),
        ("rootServiceName", Scope.INTRINSIC, "trace:rootService", ()),
        ("span:name", Scope.INTRINSIC, "name", ()),
    ],
)
def test_fields(written, scope, name, keys):
    left = only(f'{{ {written} = "x" }}').left
    assert isinstance(left, Field)
    assert (left.scope, left.name, left.keys, left.text) == (scope, name, keys, written)


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ('.a = "x\\n\\"\\\\"', Kind.TEXT, 'x\n"\\'),
        (".a = `\\d`", Kind.TEXT, "\\d"),
        (".a=-5", Kind.NUMBER, -5),
        (".a = 1.5e3", Kind.NUMBER, 1500.0),
        (".a = true", Kind.BOOLEAN, True),
        (".a = None", Kind.NULL, None),
        (".a != nil", Kind.NIL, None),
        ("duration > 1.5s", Kind.DURATION, 1_500_000_000),
        ("duration > 1h30m", Kind.DURATION, 5400 * 10**9),
        ("duration > 100µs", Kind.DURATION, 100_000),
        ("status = error", Kind.STATUS, StatusCode.ERROR),
        ("kind != server", Kind.SPAN_KIND, SpanKind.SERVER),
    ],
)
def test_constants(text, kind, value):
    right = only(f"{{ {text} }}").right
    assert isinstance(right, Constant)
    assert (right.kind, right.value, type(right.value)) == (kind, value, type(value))


def test_a_constant_may_stand_first():
    one = only("{ 3 < arg.x }")
    assert isinstance(one.left, Field)
    assert (one.left.name, one.op) == ("x", ">")


@pytest.mark.parametrize(
    ("query", "position", "why"),
    [
        ("", 1, "there is nothing"),
        ("checkout", 1, "braces are to come"),
        ("service=orders", 1, "braces are to come"),
        ("{", 2, "a brace is not closed"),
        ("{ arg.x", 8, "a comparison is to come"),
        ("{ arg.x = 1", 12, "a brace is not closed"),
        ("{ (arg.x = 1 }", 14, "'}' is not expected"),
        ("({}", 4, "a parenthesis is not closed"),
        ("{} &&", 6, "braces are to come"),
        ("{ arg.x }", 9, "a comparison is to come"),
        ("{ arg.x == 1 }", 10, "'==' is written ="),
        ("{ arg.x = 1 and arg.y = 2 }", 13, "'and' is written &&"),
        ("{ arg.x = 1 | arg.y = 2 }", 13, "'|' is written ||"),
        ("{ arg.x = 1 && arg.y = 2 || arg.z = 3 }", 26, "&& and || are mixed"),
        ("{} || {} && {}", 10, "&& and || are mixed"),
        ("{ !arg.x = 1 }", 4, "! needs parentheses"),
        ("{ name = 'a' }", 10, "double quotes"),
        ('{ name = "a }', 10, "a quote is not closed"),
        ("{ arg.x + 1 = 2 }", 9, "no arithmetic yet"),
        ("{ arg.x-1 = 2 }", 8, "no arithmetic yet"),
        ("{} | count() > 3", 4, "pipelines"),
        ("{} << {}", 4, "<< between braces cannot be asked yet"),
        ("{} !>> {}", 4, "!>> between braces cannot be asked yet"),
        ("{} ~ {}", 4, "~ between braces cannot be asked yet"),
        ("{} {}", 4, "is not expected"),
        ("{ durration > 1s }", 3, "there is no field 'durration': duration?"),
        ("{ function = `x` }", 3, "there is no field 'function'"),
        ("{ call.functoin = `x` }", 3, "there is no field 'call.functoin'"),
        ("{ event.name = `x` }", 3, "'event.name' cannot be asked yet"),
        ("{ span. = 1 }", 7, "is to come"),
        ("{ arg = 1 }", 3, "arg needs a name"),
        ("{ arg[0] = 1 }", 3, "arg needs a name"),
        ("{ line.x = `a:1` }", 7, "line has no parts"),
        ("{ line = `pricing.py` }", 10, "is no line"),
        ("{ span.a[0] = 1 }", 9, "no way into an attribute's value"),
        ("{ duration > 5 }", 14, "5 is no span of time"),
        ("{ arg.x > 5s }", 11, "arg.x is a value"),
        ("{ status = 500 }", 12, "500 is no status"),
        ("{ kind = web }", 10, "there is no field 'web'"),
        ("{ status > ok }", 10, "status has no order"),
        ("{ arg.x < null }", 9, "null has no order"),
        ("{ 1 = 1 }", 3, "two constants"),
        ("{ name =~ `(` }", 11, "the regular expression cannot be used"),
        ("{ name =~ `(?=a)` }", 11, "the regular expression cannot be used"),
        (r"{ name =~ `(a)\1` }", 11, "the regular expression cannot be used"),
        ("{ name =~ `a)(b` }", 11, "the regular expression cannot be used"),
        ("{ name =~ `((a{500}){500})` }", 11, "the regular expression cannot be used"),
        ("{ name =~ .a }", 11, "needs an expression in quotes"),
        ("{ duration =~ `1` }", 12, "duration is no text"),
        ("{ len(arg.x) = `a` }", 16, "`a` is no number"),
        ("{ len(name) = 1 }", 7, "name has no length"),
        ("{ max(arg.x) = 1 }", 3, "there is no function 'max'"),
        ("{ arg.x = 9223372036854775808 }", 11, "64 bits"),
        ("{ duration > 9999999999999999h }", 14, "64 bits"),
        ("{ arg.x = duration }", 11, "not of one kind"),
        ("{ arg.x =\n 5 }\n&& { status > ok }", 28, "status has no order"),
        ("{ name = `\ud800` }", 11, "not UTF-8"),
    ],
)
def test_what_cannot_be_read_is_refused_at_the_character(query, position, why):
    with pytest.raises(UsageError) as caught:
        parse(query)
    error = caught.value
    assert error.slug == "bad-query"
    assert error.message.startswith(f"At position {position} of the query, ")
    assert why in error.message
    assert error.hint
    _, shown, caret = error.message.split("\n")
    before = query[: position - 1].rpartition("\n")[2]
    assert caret == " " * (2 + len(before)) + "^"
    assert shown[2:].startswith(before)


def test_a_long_query_is_shown_around_the_place():
    text = "{ " + " && ".join(["arg.quantity = 1"] * 60) + " && nothing = 1 && " + "arg.x = 1 && " * 20 + "arg.x = 1 }"
    with pytest.raises(UsageError) as caught:
        parse(text)
    _, shown, caret = caught.value.message.split("\n")
    assert len(shown) < 130
    assert shown[len(caret) - 1 :].startswith("nothing = 1")


@pytest.mark.parametrize(
    "text",
    [
        "(" * 900 + "{}" + ")" * 900,
        "{ " + "!(" * 600 + "arg.x = 1" + ")" * 600 + " }",
        "{ " + "(" * 900,
        "{ " + "!(" * 20 + "arg.x = 1" + ")" * 20 + " }",
        "{}" + " >> {}" * 300,
    ],
)
def test_depth_is_bounded(text):
    with contextlib.suppress(UsageError):
        parse(text)


def test_length_is_bounded():
    with pytest.raises(UsageError):
        parse("{" + " " * LONGEST + "}")
    assert parse("{" + " " * (LONGEST - 2) + "}").root


_WORDS = (
    "&& || >> =~ !~ != arg.x local.a[0] span. .b return name line duration 1 -2.5 3s 5ms5 true null nil error len( é"
)
_PIECES = st.sampled_from([*"{}()[]=<>!&|~.,:;'\"`\\-+*/ \n", '"t"', "`r`", "\ud800", *_WORDS.split()])


@given(st.one_of(st.text(), st.lists(_PIECES, max_size=30).map("".join), st.lists(_PIECES, max_size=30).map(" ".join)))
@example("\x00")
@example("{ .\u0660 = \u0661 }")
@example("{ arg.x = \u0661s }")
def test_any_text_is_read_or_refused(text):
    with contextlib.suppress(UsageError):
        parse(text)


@given(spansets(comparisons), st.data())
def test_a_broken_query_is_read_or_refused(root, data):
    text = written(root)
    at = data.draw(st.integers(0, len(text)))
    cut = data.draw(st.integers(0, 3))
    with contextlib.suppress(UsageError):
        parse(text[:at] + data.draw(_PIECES) + text[at + cut :])


def test_expressions_take_no_longer_than_the_text():
    """Each of these is exponential or quadratic where an engine goes back."""
    long = "a" * 200_000 + "!"
    for expression in ("(a+)+", "(a|aa)+", "(.*)*b", "(a?){50}a{50}", ".*.*.*=.*"):
        assert not pattern.matches(long, expression)


@given(st.text(max_size=20), st.sampled_from(["", ".*", "a", "[^a]*", "(?i)A.*", "\\w+", "\\pL+"]))
def test_the_whole_text_must_match(text, expression):
    alone = pattern.matches(text, expression)
    assert pattern.matches(text, f"(?:{expression})") is alone
    if alone and expression not in {"", ".*", "[^a]*"}:
        assert not pattern.matches(text + "\n\x00", expression) or ".*" in expression
