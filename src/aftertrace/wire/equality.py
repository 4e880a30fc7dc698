"""Whether two recorded values are equal: True, False, or None when what was captured does not decide it."""

from __future__ import annotations

from collections.abc import Iterable

from aftertrace.model import Value, ValueKind


def content(value: Value) -> Value:
    """The value itself, or for a subclass of a built-in type its content."""
    while value.kind is ValueKind.SUBCLASS and value.items:
        value = value.items[0]
    return value


def cut(value: Value) -> bool:
    """Whether only a part of it was captured."""
    if value.kind is ValueKind.SCALAR:
        if isinstance(value.scalar, str | bytes):
            return value.size is not None and value.size > len(value.scalar)
        return value.scalar is None and value.type == "int"
    captured = len(value.entries) if value.kind is ValueKind.MAPPING else len(value.items)
    return value.missing is not None or (value.size is not None and value.size > captured)


def as_range(value: Value) -> range:
    """The range that a RANGE value is."""
    start, stop, step = (part.scalar if isinstance(part.scalar, int) else 1 for part in value.items)
    return range(start, stop, step or 1)


def equal(a: Value, b: Value) -> bool | None:
    """Whether two values are equal; None when that cannot be said."""
    unknown = {ValueKind.MISSING, ValueKind.REDACTED, ValueKind.UNBOUND}
    a, b = content(a), content(b)
    if a.kind in unknown or b.kind in unknown:
        return None
    if ValueKind.OBJECT in {a.kind, b.kind} or ValueKind.EXCEPTION in {a.kind, b.kind}:
        return True if a.identity and a.identity == b.identity and a.type == b.type else None
    if a.kind is not b.kind:
        return False
    if a.kind is ValueKind.SCALAR:
        return _equal_scalars(a, b)
    if a.kind is ValueKind.MAPPING:
        return _equal_mappings(a, b)
    if a.kind is ValueKind.SEQUENCE:
        return _equal_sequences(a, b)
    if a.kind is ValueKind.RANGE:
        return as_range(a) == as_range(b)
    return a.scalar == b.scalar and a.type == b.type


def _equal_scalars(a: Value, b: Value) -> bool | None:
    if "ellipsis" in {a.type, b.type} or "NotImplementedType" in {a.type, b.type}:
        return a.type == b.type
    if not cut(a) and not cut(b):
        return a.scalar == b.scalar
    if a.scalar is None or b.scalar is None:  # a whole number of which only the size is known
        return None if {a.type, b.type} <= {"int", "float"} else False
    if isinstance(a.scalar, str) and isinstance(b.scalar, str):
        shared = min(len(a.scalar), len(b.scalar))
        return False if a.size != b.size or a.scalar[:shared] != b.scalar[:shared] else None
    if isinstance(a.scalar, bytes) and isinstance(b.scalar, bytes):
        shared = min(len(a.scalar), len(b.scalar))
        return False if a.size != b.size or a.scalar[:shared] != b.scalar[:shared] else None
    return False


def _equal_sequences(a: Value, b: Value) -> bool | None:
    unordered = {"set", "frozenset"}
    if (a.type in unordered) != (b.type in unordered) or (a.type not in unordered and a.type != b.type):
        return False
    if a.size != b.size:
        return False
    if a.type not in unordered:
        return all_of([*map(equal, a.items, b.items), None if cut(a) or cut(b) else True])
    if cut(a) or cut(b):
        return None
    return all_of([any_of(equal(one, other) for other in b.items) for one in a.items])


def _equal_mappings(a: Value, b: Value) -> bool | None:
    if a.size != b.size:
        return False
    found = [
        any_of(all_of([equal(key, other), equal(value, held)]) for other, held in b.entries) for key, value in a.entries
    ]
    if cut(a) or cut(b):
        return None
    return all_of(found)


def all_of(parts: Iterable[bool | None]) -> bool | None:
    known = list(parts)
    return False if False in known else None if None in known else True


def any_of(parts: Iterable[bool | None]) -> bool | None:
    known = list(parts)
    return True if True in known else None if None in known else False
