"""Whether a condition holds of a subject: true, false, or unknown with the reason.

A comparison with something that is not there is false, with ``!=``, too; ``= nil`` asks for that. ``!=`` holds where
there is a value and it is another one. Values are compared as they were recorded: nothing of the program's is run.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from typing import Any

from aftertrace.explain.subjects import Subject, Told, Unknown
from aftertrace.model import Missing, Value, ValueKind
from aftertrace.reconstruct import operators
from aftertrace.reconstruct.breakpoints import fits
from aftertrace.traceql import pattern
from aftertrace.traceql.checks import PLACE, name_of
from aftertrace.traceql.tree import (
    And,
    Comparison,
    Condition,
    Constant,
    Field,
    Kind,
    Length,
    Not,
    Operand,
    Operator,
    Or,
    Scope,
)
from aftertrace.wire.equality import content, cut, equal

type Verdict = bool | Unknown

_REDACTED = "<redacted"  # begins what agents put in a secret's place (agent/patterns.py)
_ORDERS: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def judge(condition: Condition | None, subject: Subject) -> Verdict:
    """An unknown part does not hide a known outcome."""
    match condition:
        case None:
            return True
        case Comparison():
            return compare(condition, subject)
        case Not(part):
            return negated(judge(part, subject))
        case And(parts) | Or(parts):
            deciding, unknown = isinstance(condition, Or), None
            for part in parts:
                found = judge(part, subject)
                if found is deciding:
                    return found
                if isinstance(found, Unknown):
                    unknown = unknown or found
            return unknown or not deciding


def negated(verdict: Verdict) -> Verdict:
    return verdict if isinstance(verdict, Unknown) else not verdict


def compare(one: Comparison, subject: Subject) -> Verdict:
    """One comparison."""
    if isinstance(one.left, Field) and one.left.scope is Scope.LINE and isinstance(one.right, Constant):
        return _at_line(one, str(one.right.value), subject)
    left, right = _told(one.left, subject), _told(one.right, subject)
    if isinstance(one.right, Constant) and one.right.kind is Kind.NIL:
        return _is_there(left, one.op == "!=")
    if left is None or right is None:
        return False
    if isinstance(left, Unknown):
        return Unknown(f"{one.left.text}: {left.reason}")
    if isinstance(right, Unknown):
        return Unknown(f"{one.right.text}: {right.reason}")
    why = _not_recorded(left) or _not_recorded(right)
    if why and not _is_none_asked(one):
        return Unknown(f"{one.left.text}: {why}")
    return _compare(one, left, right)


def _told(side: Operand, subject: Subject) -> Told:
    match side:
        case Field():
            return subject.told(side)
        case Constant(value=value):
            return operators.make(int(value) if isinstance(value, int) and not isinstance(value, bool) else value)
        case Length(of=field):
            return _length(subject.told(field))


def _length(told: Told) -> Told:
    if told is None or isinstance(told, Unknown):
        return told
    if told.kind is ValueKind.SCALAR and isinstance(told.scalar, str) and _REDACTED in told.scalar:
        return Unknown("redacted")
    try:
        return operators.make(operators.length(told))
    except operators.NotCaptured as missing:
        return Unknown(str(missing))
    except operators.Refused:
        return None


def _is_there(told: Told, wanted: bool) -> Verdict:
    if isinstance(told, Unknown) and not told.there:
        return told
    return (told is not None) is wanted


def _at_line(one: Comparison, place: str, subject: Subject) -> Verdict:
    match = PLACE.fullmatch(place)
    found = subject.at_line(match["path"], int(match["line"])) if match else False
    return found if one.op == "=" else negated(found)


def _is_none_asked(one: Comparison) -> bool:
    return isinstance(one.right, Constant) and one.right.kind is Kind.NULL


def _not_recorded(value: Value) -> str:
    """Why a value as a whole is not known; "" where it is."""
    inner = content(value)
    if inner.kind is ValueKind.REDACTED or inner.missing in {Missing.REDACTED_NAME, Missing.REDACTED_TYPE}:
        return "redacted"
    if inner.kind is ValueKind.MISSING:
        reason = operators.REASONS.get(inner.missing, "") if inner.missing is not None else ""
        return f"not captured ({reason})" if reason else "not captured"
    if inner.kind is ValueKind.SCALAR and isinstance(inner.scalar, str) and _REDACTED in inner.scalar:
        return "redacted"
    return ""


def _compare(one: Comparison, left: Value, right: Value) -> Verdict:
    if isinstance(one.right, Constant):
        match one.right.kind:
            case Kind.NULL:
                return _is_none(one, left)
            case Kind.BOOLEAN:
                same = left.type == "bool" and left.scalar is one.right.value
                return same is (one.op == "=")
            case Kind.TEXT:
                return _text(one, one.left, left, str(one.right.value))
    numbers = _number(left), _number(right)
    if isinstance(numbers[0], Unknown) or isinstance(numbers[1], Unknown):
        return Unknown(f"{one.left.text}: only the size of the number was recorded")
    if numbers[0] is not None and numbers[1] is not None:
        return _ordered(one.op, *numbers)
    if isinstance(one.right, Constant):
        return one.op == "!="
    return _values(one, left, right)


def _is_none(one: Comparison, value: Value) -> Verdict:
    if value.kind is ValueKind.REDACTED or (value.kind is ValueKind.MISSING and not value.type):
        return Unknown(f"{one.left.text}: {_not_recorded(value)}")
    return (value.type == "NoneType") is (one.op == "=")


def _number(value: Value) -> int | float | Decimal | Unknown | None:
    """None: it is none. A truth value is none here, though Python counts with it."""
    if value.kind is ValueKind.SUBCLASS and value.type == "decimal.Decimal" and value.items:
        try:
            return Decimal(str(value.items[0].scalar))
        except InvalidOperation:
            return None
    inner = content(value)
    if inner.kind is not ValueKind.SCALAR or inner.type not in {"int", "float"}:
        return None
    if inner.scalar is None:
        return Unknown("")
    return inner.scalar if isinstance(inner.scalar, int | float) else None


def _ordered(op: Operator, left: Any, right: Any) -> bool:
    """As Python orders them; nothing is less than NaN."""
    if op in {"=", "!="}:
        return bool(left == right) is (op == "=")
    if any(isinstance(side, Decimal) and side.is_nan() for side in (left, right)):
        return False
    return _ORDERS[op](left, right)


def _text(one: Comparison, field: Operand, value: Value, wanted: str) -> Verdict:
    """Against a text."""
    inner = content(value)
    if inner.kind is not ValueKind.SCALAR or not isinstance(inner.scalar, str):
        return one.op == "!="
    if one.op in {"=", "!="}:
        found: Verdict | None = _equal_text(field, inner, wanted)
        return Unknown(f"{one.left.text}: cut") if found is None else found is (one.op == "=")
    if cut(inner):
        return Unknown(f"{one.left.text}: cut")
    if one.op in {"=~", "!~"}:
        return any(pattern.matches(text, wanted) for text in _forms(field, inner.scalar)) is (one.op == "=~")
    return _ORDERS[one.op](inner.scalar, wanted)


def _equal_text(field: Operand, value: Value, wanted: str) -> bool | None:
    if isinstance(field, Field) and isinstance(value.scalar, str):
        name = name_of(field)
        if name == "call.file":
            return fits(value.scalar, wanted)
        if name in {"call.function", "exception.type"}:
            return value.scalar == wanted or value.scalar.endswith(f".{wanted}")
    return equal(value, operators.make(wanted))


def _forms(field: Operand, text: str) -> tuple[str, ...]:
    """A name as it is qualified, and by itself."""
    if isinstance(field, Field) and name_of(field) in {"call.function", "exception.type"}:
        return text, text.rpartition(".")[2]
    return (text,)


def _values(one: Comparison, left: Value, right: Value) -> Verdict:
    """Two values of the program: texts have an order, anything may be equal."""
    if one.op in {"=", "!="}:
        same = equal(left, right)
        if same is None:
            return Unknown(
                f"whether {one.left.text} and {one.right.text} are equal does not follow from what was recorded"
            )
        return same is (one.op == "=")
    texts = content(left), content(right)
    if any(text.kind is not ValueKind.SCALAR or not isinstance(text.scalar, str) for text in texts):
        return False
    if any(map(cut, texts)):
        return Unknown(f"{one.left.text}: cut")
    return _ORDERS[one.op](texts[0].scalar, texts[1].scalar)


def telling(condition: Condition | None, subject: Subject) -> list[Field]:
    """The fields whose values made it hold, in the order of the query."""
    match condition:
        case Comparison():
            sides = (side.of if isinstance(side, Length) else side for side in (condition.left, condition.right))
            return [side for side in sides if isinstance(side, Field)]
        case Not(part):
            return telling(part, subject)
        case And(parts):
            return [field for part in parts for field in telling(part, subject)]
        case Or(parts):
            held = [part for part in parts if judge(part, subject) is True] or parts
            return [field for part in held for field in telling(part, subject)]
        case None:
            return []
