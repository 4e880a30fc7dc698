"""Conditions on recorded values: three values as Kleene has them, and no verdict that the unknown could undo."""

from __future__ import annotations

import operator
import re
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aftertrace.explain.judging import judge
from aftertrace.explain.subjects import Subject, Unknown, inside
from aftertrace.explain.world import World
from aftertrace.model import Missing, Value, ValueKind
from aftertrace.reconstruct.execution import Execution
from aftertrace.reconstruct.operators import make
from aftertrace.traceql.parse import parse
from aftertrace.traceql.tree import And, Comparison, Constant, Field, Filter, Kind, Level, Not, Scope

from ..traceql.written import compared, conditions, field, written

EMPTY = Execution("00" * 16, {}, [], {}, [], [], {}, [], [])


class Given(Subject):
    """Arguments by name; what is not named is not there."""

    def __init__(self, values: dict[str, Any]) -> None:
        super().__init__(World(EMPTY), None, None)
        self._values = values

    def of_arg(self, field: Field) -> Any:
        held = self._values.get(field.name)
        return inside(held, field.keys) if isinstance(held, Value) else held


def verdict(text: str, **values: Any) -> Any:
    root = parse(text).root
    assert isinstance(root, Filter)
    found = judge(root.condition, Given(values))
    return None if isinstance(found, Unknown) else found


REDACTED = Value(ValueKind.REDACTED, "", missing=Missing.REDACTED_NAME)
DEEP = Value(ValueKind.MISSING, "dict", missing=Missing.DEPTH)
CUT = Value(ValueKind.SCALAR, "str", "abc", size=900)
HUGE = Value(ValueKind.SCALAR, "int", None, size=5000)
PRICE = Value(ValueKind.SUBCLASS, "decimal.Decimal", items=(make("12.50"),), identity=5)
ITEM = Value(ValueKind.OBJECT, "shop.Item", attributes=(("qty", make(-1)), ("token", REDACTED)), identity=9)
SHORT = Value(ValueKind.OBJECT, "shop.Item", attributes=(("qty", make(-1)),), missing=Missing.FIELD_COUNT)
CART = Value(ValueKind.SEQUENCE, "list", items=(ITEM,), size=900, missing=Missing.COLLECTION_SIZE)
TABLE = Value(ValueKind.MAPPING, "dict", entries=((make("a"), make(1)), (make("two words"), CART)), size=2)


@pytest.mark.parametrize(
    ("condition", "value", "expected"),
    [
        ("arg.x < 0", make(-1), True),
        ("arg.x < 0", make(-0.5), True),
        ("arg.x < 0", make("-1"), False),
        ("arg.x < 0", make(True), False),
        ("arg.x = 1", make(True), False),
        ("arg.x = true", make(True), True),
        ("arg.x = true", make(1), False),
        ("arg.x != true", make(1), True),
        ("arg.x = null", make(None), True),
        ("arg.x != null", make(0), True),
        ("arg.x = null", DEEP, False),
        ("arg.x = null", REDACTED, None),
        ("arg.x != null", REDACTED, None),
        ("arg.x = 1", None, False),
        ("arg.x != 1", None, False),
        ("!(arg.x = 1)", None, True),
        ("arg.x = nil", None, True),
        ("arg.x != nil", make(1), True),
        ("arg.x != nil", REDACTED, True),
        ("arg.x = nil", Unknown("lost"), None),
        ("arg.x != nil", Unknown("lost", there=True), True),
        ("arg.x = 1", Unknown("lost"), None),
        ("arg.x = 1", REDACTED, None),
        ("arg.x != 1", REDACTED, None),
        ("arg.x = 1", DEEP, None),
        ("arg.x.a = 1", DEEP, None),
        ("arg.x = `abc`", CUT, False),
        (f"arg.x = `{'abc' * 300}`", CUT, None),
        ("arg.x != `abd`", CUT, True),
        ("arg.x =~ `abc.*`", CUT, None),
        ("arg.x < `b`", CUT, None),
        ("len(arg.x) > 100", CUT, True),
        ("len(arg.x) > 100", CART, True),
        ("len(arg.x) = 2", TABLE, True),
        ("len(arg.x) = 1", make(5), False),
        ("len(arg.x) = 1", ITEM, None),
        ("len(arg.x) = 1", REDACTED, None),
        ("arg.x > 0", HUGE, None),
        ("arg.x > 12", PRICE, True),
        ("arg.x = 12.5", PRICE, True),
        ("arg.x < 12.5", PRICE, False),
        ("arg.x.qty < 0", ITEM, True),
        ("arg.x.token = `s3cret`", ITEM, None),
        ("arg.x.price < 0", ITEM, None),  # a property is not run
        ("arg.x.price < 0", SHORT, None),
        ("arg.x[0].qty < 0", CART, True),
        ("arg.x[1].qty < 0", CART, None),
        ("arg.x[900].qty < 0", CART, False),
        ("arg.x[-1].qty < 0", CART, None),
        ("arg.x.a = 1", TABLE, True),
        ('arg.x["two words"][0].qty = -1', TABLE, True),
        ("arg.x.b = 1", TABLE, False),
        ("arg.x.b = nil", TABLE, True),
        ("arg.x = `a`", TABLE, False),
        ("arg.x != `a`", TABLE, True),
        ("arg.x = `<redacted:email>`", make("<redacted:email>"), None),
        ("arg.x =~ `.*`", make("to <redacted:email>"), None),
        ("arg.x < 1", make(float("nan")), False),
        ("arg.x != 1", make(float("nan")), True),
        ("arg.x =~ `a.c`", make("a\nc"), True),
        ("arg.x =~ `a`", make("ab"), False),
        ("arg.x !~ `a`", make("ab"), True),
        ("arg.x !~ `a`", make(1), False),
        ("arg.x = 1 && arg.y = 1", REDACTED, False),
        ("arg.x = 1 || arg.y = 1", REDACTED, None),
        ("arg.x = 1 || arg.y = nil", REDACTED, True),
        ("!(arg.x = 1)", REDACTED, None),
    ],
)
def test_values(condition, value, expected):
    assert verdict(f"{{ {condition} }}", x=value) is expected


def test_two_values():
    both = {"x": make(3), "y": make(2)}
    assert verdict("{ arg.x > arg.y }", **both) is True
    assert verdict("{ arg.x = arg.y }", **both) is False
    assert verdict("{ arg.x > arg.y }", x=make(3), y=REDACTED) is None
    assert verdict("{ arg.x > arg.y }", x=make("b"), y=make("a")) is True
    assert verdict("{ arg.x > arg.y }", x=make("b"), y=make(1)) is False
    assert verdict("{ arg.x = arg.y }", x=ITEM, y=ITEM) is True
    assert verdict("{ arg.x = arg.y }", x=ITEM, y=SHORT) is None
    assert verdict("{ len(arg.x) = len(arg.y) }", x=TABLE, y=make("ab")) is True
    assert verdict("{ arg.x = arg.z }", **both) is False


# -- against an evaluator of its own, over plain Python values

NAMES = ["qty", "item", "total"]
HIDDEN = object()
PLAIN = st.sampled_from(
    [HIDDEN, None, True, False, 0, 1, -1, 2**70, 0.5, 1e300, float("nan"), "", "a", "KeyError", "é"]
)
POOL = [None, True, False, 0, 1, -1, 0.5, "", "a", "KeyError"]
CONSTANTS = st.sampled_from(
    [Constant(Kind.NUMBER, one, 0, "") for one in (0, 1, -1, 0.5, 1e300)]
    + [Constant(Kind.TEXT, one, 0, "") for one in ("", "a", "KeyError", "é")]
)
FIELDS = st.builds(field, st.just(Scope.ARG), st.sampled_from(NAMES))
LEAVES = st.one_of(
    compared(FIELDS),
    st.builds(Comparison, FIELDS, st.sampled_from(("=", "!=", "<", "<=", ">", ">=")), CONSTANTS, st.just(0)),
)
OPS = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}
GIVEN = st.dictionaries(st.sampled_from(NAMES), PLAIN)


def leaf(one: Comparison, values: dict[str, Any]) -> float:
    """1 true, 0 false, 0.5 unknown."""
    assert isinstance(one.left, Field)
    assert isinstance(one.right, Constant)
    there, wanted = one.left.name in values, one.right.value
    if one.right.kind is Kind.NIL:
        return float(there is (one.op == "!="))
    if not there:
        return 0
    value = values[one.left.name]
    if value is HIDDEN:
        return 0.5
    alike = sort(value) == sort(wanted)
    if one.op in {"=", "!="}:
        return float((alike and value == wanted) is (one.op == "="))
    if not alike:
        return 0
    if one.op in {"=~", "!~"}:
        return float(bool(re.compile(f"(?s:{wanted})").fullmatch(value)) is (one.op == "=~"))
    return float(OPS[one.op](value, wanted))


def sort(value: Any) -> str:
    return {"bool": "truth", "int": "number", "float": "number"}.get(type(value).__name__, type(value).__name__)


def simple(node: Any, values: dict[str, Any]) -> float:
    match node:
        case None:
            return 1
        case Comparison():
            return leaf(node, values)
        case Not(part):
            return 1 - simple(part, values)
        case _:
            return (min if isinstance(node, And) else max)(simple(part, values) for part in node.parts)


def recorded(values: dict[str, Any]) -> Given:
    return Given({name: REDACTED if value is HIDDEN else make(value) for name, value in values.items()})


def reread(condition: Any) -> Any:
    root = parse(written(Filter(condition, Level.CALL, 0))).root
    assert isinstance(root, Filter)
    return root.condition


@settings(max_examples=400)
@given(conditions(LEAVES), GIVEN)
def test_verdicts_are_those_of_a_simple_evaluator(condition, values):
    found = judge(reread(condition), recorded(values))
    assert (0.5 if isinstance(found, Unknown) else float(found)) == simple(condition, values)


@settings(max_examples=400)
@given(conditions(LEAVES), GIVEN, st.lists(st.sampled_from(POOL), min_size=3, max_size=3))
def test_what_is_unknown_could_not_undo_a_verdict(condition, values, instead):
    found = judge(reread(condition), recorded(values))
    whole = {
        name: replacement if value is HIDDEN else value
        for (name, value), replacement in zip(values.items(), instead, strict=False)
    }
    if not isinstance(found, Unknown):
        assert judge(reread(condition), recorded(whole)) is found


@given(st.decimals(allow_nan=False, allow_infinity=False, places=3), st.integers(-1000, 1000))
def test_decimals_are_numbers(amount, limit):
    value = Value(ValueKind.SUBCLASS, "decimal.Decimal", items=(make(str(amount)),), identity=5)
    for op, compare in OPS.items():
        assert verdict(f"{{ arg.x {op} {limit} }}", x=value) is compare(amount, Decimal(limit))
