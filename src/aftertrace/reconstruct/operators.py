"""Attribute, item and arithmetic over recorded values, bounded, and honest about what was not captured."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable

from aftertrace.model import Missing, Scalar, Value, ValueKind
from aftertrace.wire.equality import cut

REASONS = {
    Missing.DEPTH: "depth",
    Missing.COLLECTION_SIZE: "collectionSize",
    Missing.FIELD_COUNT: "fieldCount",
    Missing.TIMEOUT: "timeout",
    Missing.REDACTED_NAME: "redactedName",
    Missing.REDACTED_TYPE: "redactedType",
    Missing.CONCURRENT_MODIFICATION: "concurrentModification",
    Missing.SIZE: "size",
    Missing.OPAQUE: "opaque",
    Missing.LEVEL: "level",
    Missing.AS_BEFORE: "asBefore",
    Missing.SHAPE: "shape",
}

_BITS = 4096  # of a whole number that is computed
_TEXT = 100_000  # code points or bytes of a text that is computed


class NotCaptured(Exception):
    """The answer depends on something that was not recorded; its text says what and why."""


class Refused(Exception):
    """The operation makes no sense on these values; its text is the reason."""


def make(scalar: Scalar) -> Value:
    """A scalar as a value."""
    size = len(scalar) if isinstance(scalar, str | bytes) else None
    return Value(ValueKind.SCALAR, type(scalar).__name__, scalar, size=size)


def not_captured(value: Value, what: str = "") -> NotCaptured:
    reason = REASONS.get(value.missing, "") if value.missing is not None else ""
    of = what or f"this {value.type}" if value.type else what or "it"
    return NotCaptured(f"not captured: {of}" + (f" ({reason})" if reason else ""))


def content(value: Value) -> Value:
    """The value itself, or for a subclass of a built-in type its content. NotCaptured, when there is none of it."""
    if value.kind in {ValueKind.MISSING, ValueKind.REDACTED}:
        raise not_captured(value)
    if value.kind is ValueKind.UNBOUND:
        raise Refused("the name is not bound")
    if value.kind is ValueKind.SUBCLASS and value.items:
        return content(value.items[0])
    return value


def plain(value: Value) -> Scalar:
    """The Python scalar, whole. NotCaptured when only a part was captured; Refused for what is no scalar."""
    value = content(value)
    if value.kind is not ValueKind.SCALAR:
        raise Refused(f"{value.type or 'it'} is no plain value")
    if cut(value):
        raise NotCaptured(
            f"not captured: only the first part of this {value.type}, which has {value.size} in all (size)"
        )
    return value.scalar


def truth(value: Value) -> bool:
    """Python's truth of it. NotCaptured: an object may define its own."""
    if value.kind is ValueKind.SUBCLASS and value.items and value.items[0].size is None:
        return truth(value.items[0])
    value = content(value)
    if value.size is not None and value.kind in {ValueKind.SEQUENCE, ValueKind.MAPPING, ValueKind.SCALAR}:
        return value.size != 0
    if value.kind is ValueKind.SCALAR:
        return value.scalar is not None and bool(value.scalar) if value.type != "ellipsis" else True
    if value.kind in {ValueKind.NAMED, ValueKind.EXCEPTION}:
        return True
    if value.kind is ValueKind.RANGE:
        return length(value) > 0
    raise NotCaptured(f"not captured: whether this {value.type} counts as true is its own code's word (opaque)")


def length(value: Value) -> int:
    """Its true length, captured in full or not."""
    value = content(value)
    if value.kind is ValueKind.RANGE:
        start, stop, step = (int(part.scalar) for part in value.items if isinstance(part.scalar, int))
        return len(range(start, stop, step)) if step else 0
    if value.size is None or (value.kind is ValueKind.SCALAR and value.type == "int"):
        if value.kind is ValueKind.OBJECT:
            raise NotCaptured(f"not captured: the length of this {value.type} is its own code's word (opaque)")
        raise Refused(f"{value.type} has no length")
    return value.size


def attribute(value: Value, name: str) -> Value:
    """A recorded attribute. NotCaptured: fields were left out, or it is a property or method."""
    if value.kind in {ValueKind.MISSING, ValueKind.REDACTED}:
        raise not_captured(value)
    for known, found in value.attributes:
        if known == name:
            return found
    if value.kind is ValueKind.EXCEPTION and name == "args":
        return Value(ValueKind.SEQUENCE, "tuple", items=value.items, size=len(value.items))
    if value.kind is ValueKind.SUBCLASS and value.items and value.items[0].attributes:
        return attribute(value.items[0], name)
    if value.missing is not None:
        raise not_captured(value, f"attribute {name!r} of this {value.type}")
    if value.kind in {ValueKind.OBJECT, ValueKind.EXCEPTION, ValueKind.SUBCLASS, ValueKind.NAMED}:
        raise NotCaptured(
            f"not captured: {value.type} has no stored attribute {name!r} (a property or method is not run)"
        )
    raise Refused(f"{value.type} has no attribute {name!r}")


def slice_of(value: Value, start: int | None, stop: int | None, step: int | None) -> Value:
    """``value[a:b:c]`` of a list, tuple, text or bytes."""
    value = content(value)
    wanted = slice(start, stop, step or None)
    if value.kind is ValueKind.SEQUENCE and value.type in {"list", "tuple"}:
        indexes = range(*wanted.indices(length(value)))
        if indexes and max(indexes[0], indexes[-1]) >= len(value.items):
            raise not_captured(value, f"all of these {value.size} items")
        items = tuple(value.items[index] for index in indexes)
        return Value(ValueKind.SEQUENCE, value.type, items=items, size=len(items))
    if value.kind is ValueKind.SCALAR and isinstance(value.scalar, str | bytes):
        indexes = range(*wanted.indices(length(value)))
        if indexes and max(indexes[0], indexes[-1]) >= len(value.scalar):
            raise NotCaptured(f"not captured: all of these {value.size} characters (size)")
        return make(value.scalar[wanted])
    raise Refused(f"{value.type} cannot be sliced")


# -- arithmetic, on scalars

_OPERATORS: dict[type[ast.operator], Callable[[object, object], Scalar]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
    ast.BitAnd: operator.and_,
    ast.BitOr: operator.or_,
    ast.BitXor: operator.xor,
    ast.LShift: operator.lshift,
    ast.RShift: operator.rshift,
}


def unary(op: ast.unaryop, value: Value) -> Value:
    if isinstance(op, ast.Not):
        return make(not truth(value))
    number = plain(value)
    if not isinstance(number, int | float | complex) or (isinstance(op, ast.Invert) and not isinstance(number, int)):
        raise Refused(f"{value.type} is no number")
    if isinstance(op, ast.Invert):
        return make(-int(number.real) - 1)
    return make(-number if isinstance(op, ast.USub) else +number)


def binary(op: ast.operator, a: Value, b: Value) -> Value:
    """Arithmetic on numbers, ``+`` and ``*`` on texts; nothing that could take long or grow large."""
    left, right = plain(a), plain(b)
    function = _OPERATORS.get(type(op))
    if function is None:
        raise Refused("this operator cannot be asked of a recording")
    if isinstance(left, str | bytes) or isinstance(right, str | bytes):
        return _text(op, left, right)
    if not isinstance(left, int | float | complex) or not isinstance(right, int | float | complex):
        raise Refused(f"{a.type} and {b.type} are no numbers")
    _bounded(op, left, right)
    try:
        return make(function(left, right))
    except TypeError:
        raise Refused(f"{a.type} and {b.type} cannot be combined so") from None


def _text(op: ast.operator, left: Scalar, right: Scalar) -> Value:
    if isinstance(op, ast.Add):
        if isinstance(left, str) and isinstance(right, str) and len(left) + len(right) <= _TEXT:
            return make(left + right)
        if isinstance(left, bytes) and isinstance(right, bytes) and len(left) + len(right) <= _TEXT:
            return make(left + right)
    if isinstance(op, ast.Mult):
        text, times = (left, right) if isinstance(left, str | bytes) else (right, left)
        if isinstance(text, str | bytes) and isinstance(times, int) and len(text) * max(times, 0) <= _TEXT:
            return make(text * times)
    raise Refused(f"{type(left).__name__} and {type(right).__name__} cannot be combined so, or the result is too large")


def _bounded(op: ast.operator, left: complex, right: complex) -> None:
    """Refused: a whole number of more than 4,096 bits would come out, or a shift or power is absurd."""
    if not isinstance(left, int) or not isinstance(right, int):
        return
    if isinstance(op, ast.Pow):
        too_large = right > 0 and left.bit_length() * right > _BITS
    elif isinstance(op, ast.LShift):
        too_large = left.bit_length() + right > _BITS
    else:
        too_large = max(left.bit_length(), 1) + max(right.bit_length(), 1) > 2 * _BITS
    if too_large:
        raise Refused("the result is too large")
    if isinstance(op, ast.Pow) and left == 0 and right < 0:
        raise ZeroDivisionError("zero to a negative power")
