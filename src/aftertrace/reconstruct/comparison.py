"""Comparison of recorded values: True, False, or None when what was captured does not decide it."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable
from typing import Any

from aftertrace.model import Value, ValueKind
from aftertrace.reconstruct.operators import (
    NotCaptured,
    Refused,
    content,
    length,
    make,
    not_captured,
    plain,
)
from aftertrace.wire.equality import any_of, as_range, cut, equal


def _decided(outcome: bool | None, a: Value, b: Value) -> bool:
    if outcome is None:
        for value in (a, b):
            content(value)
        part = next((value for value in (a, b) if cut(content(value))), None)
        if part is not None:
            raise not_captured(content(part), f"all of this {part.type}")
        raise NotCaptured(f"not captured: how {a.type} compares with {b.type} is its own code's word (opaque)")
    return outcome


def _hashable(value: Value) -> Value:
    """The value, if a dict or set could hold it. Refused, as Python would."""
    inner = content(value)
    if inner.kind is ValueKind.MAPPING or inner.type in {"list", "set", "bytearray"}:
        raise Refused(f"{value.type} cannot be in a dict or set")
    if inner.type == "tuple":
        for one in inner.items:
            if one.kind not in {ValueKind.MISSING, ValueKind.REDACTED}:
                _hashable(one)
    return value


def contains(container: Value, wanted: Value) -> bool | None:
    """``wanted in container``; None when that cannot be said."""
    container = content(container)
    if container.kind is ValueKind.MAPPING or container.type in {"set", "frozenset"}:
        _hashable(wanted)
    if container.kind is ValueKind.MAPPING:
        known = any_of(equal(key, wanted) for key, _ in container.entries)
    elif container.kind is ValueKind.SEQUENCE:
        known = any_of(equal(one, wanted) for one in container.items)
    elif container.kind is ValueKind.RANGE:
        number = plain(wanted)
        return isinstance(number, int) and number in as_range(container)
    elif isinstance(container.scalar, str):
        part = plain(wanted)
        if not isinstance(part, str):
            raise Refused("only a text is in a text")
        known = part in container.scalar
    elif isinstance(container.scalar, bytes):
        part = plain(wanted)
        if not isinstance(part, bytes | int) or (isinstance(part, int) and not 0 <= part < 256):
            raise Refused("only bytes are in bytes")
        known = part in container.scalar
    elif container.kind is ValueKind.OBJECT:
        return None
    else:
        raise Refused(f"{container.type} holds nothing")
    return None if known is False and cut(container) else known


def compare(op: ast.cmpop, a: Value, b: Value) -> bool:
    """One comparison. NotCaptured, Refused."""
    match op:
        case ast.Eq():
            return _decided(equal(a, b), a, b)
        case ast.NotEq():
            return not _decided(equal(a, b), a, b)
        case ast.In():
            return _decided(contains(b, a), b, a)
        case ast.NotIn():
            return not _decided(contains(b, a), b, a)
        case ast.Is():
            return _same(a, b)
        case ast.IsNot():
            return not _same(a, b)
        case _:
            return _ordered(op, a, b)


def _same(a: Value, b: Value) -> bool:
    singles = {"NoneType", "bool", "ellipsis", "NotImplementedType"}
    if a.kind in {ValueKind.MISSING, ValueKind.REDACTED} and a.type and a.type != b.type:
        return False
    a, b = (value if value.kind is ValueKind.SUBCLASS else content(value) for value in (a, b))
    if a.type in singles or b.type in singles:
        return a.type == b.type and a.scalar == b.scalar
    if a.identity and b.identity:
        return a.identity == b.identity and a.type == b.type
    if a.type != b.type:
        return False
    raise NotCaptured(f"not captured: the identity of these {a.type}")


_ORDERS: dict[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}


def _ordered(op: ast.cmpop, a: Value, b: Value) -> bool:
    a, b = content(a), content(b)
    if a.kind is b.kind is ValueKind.TEMPORAL:
        if a.type != b.type or a.type == "timedelta" or "+" in f"{a.scalar!r}{b.scalar!r}":
            raise NotCaptured("not captured: times are recorded as text; only those without an offset are ordered")
        return _ORDERS[type(op)](a.scalar, b.scalar)
    if a.kind is b.kind is ValueKind.SEQUENCE and a.type == b.type and a.type in {"list", "tuple"}:
        for one, other in zip(a.items, b.items, strict=False):
            if not _decided(equal(one, other), one, other):
                return _ordered(op, one, other)
        if (cut(a) or cut(b)) and min(length(a), length(b)) > min(len(a.items), len(b.items)):
            raise not_captured(a if cut(a) else b)
        return _ORDERS[type(op)](length(a), length(b))
    if ValueKind.OBJECT in {a.kind, b.kind}:
        raise NotCaptured(f"not captured: how {a.type} compares with {b.type} is its own code's word (opaque)")
    left, right = plain(a), plain(b)
    numbers = isinstance(left, int | float) and isinstance(right, int | float)
    if (
        numbers
        or (isinstance(left, str) and isinstance(right, str))
        or (isinstance(left, bytes) and isinstance(right, bytes))
    ):
        return _ORDERS[type(op)](left, right)
    raise Refused(f"{a.type} and {b.type} have no order")


def item(value: Value, key: Value) -> Value:
    """``value[key]``. NotCaptured: it lies beyond what was captured."""
    value = content(value)
    if value.kind is ValueKind.MAPPING:
        return _entry(value, key)
    if value.kind is ValueKind.OBJECT:
        raise NotCaptured(f"not captured: {value.type}[...] is its own code's word (opaque)")
    index = plain(key)
    if not isinstance(index, int):
        raise Refused(f"{value.type} is not subscripted by {content(key).type}")
    size = length(value)
    if not -size <= index < size:
        raise Refused(f"index {index} is out of range: it has {size}")
    index %= size
    if value.kind is ValueKind.SEQUENCE:
        if value.type in {"set", "frozenset"}:
            raise Refused(f"{value.type} is not subscriptable")
        if index >= len(value.items):
            raise not_captured(value, f"item {index} of {size}")
        return value.items[index]
    if value.kind is ValueKind.RANGE:
        return make(as_range(value)[index])
    if isinstance(value.scalar, str | bytes):
        if index >= len(value.scalar):
            raise NotCaptured(f"not captured: position {index} of {size} (size)")
        return make(value.scalar[index])
    raise Refused(f"{value.type} is not subscriptable")


def _entry(value: Value, key: Value) -> Value:
    _hashable(key)
    unsure = cut(value)
    for known, found in value.entries:
        same = equal(known, key)
        if same:
            return found
        unsure = unsure or same is None
    if unsure:
        raise not_captured(value, f"all of this dict: {len(value.entries)} of {value.size} entries are")
    raise Refused("there is no such key")
