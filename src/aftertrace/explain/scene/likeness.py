"""Recorded values compared as a message carries them, and looked into: parts by key, holes, telling values."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any, NamedTuple

from aftertrace.model import Scalar, Value, ValueKind
from aftertrace.wire.equality import content, cut, equal

_DEPTH = 6
_UNKNOWN = {ValueKind.MISSING, ValueKind.REDACTED}
ABSENT = Value(ValueKind.UNBOUND, "")  # what part() gives when the whole was captured and has no such part


class Key(NamedTuple):
    """How a part is reached: ``.name`` or ``[name]``."""

    name: Scalar
    attribute: bool = False


type Keys = tuple[Key, ...]


IN_TEXT = Key("<json>")  # what stands as JSON in a text
_LONGEST_TEXT = 1_000_000  # code points that are read as JSON


def shown(keys: Keys) -> str:
    """As source text: ``.region``, ``["region"]``."""
    keys = tuple(key for key in keys if key != IN_TEXT)
    return "".join(f".{key.name!s}" if key.attribute else f"[{key.name!r}]" for key in keys)


def part(value: Value, keys: Keys) -> Value | None:
    """The part at ``keys``; ABSENT when there is none; None when what was captured does not say."""
    found: Value | None = value
    for key in keys:
        if found is None or found is ABSENT:
            return found
        found = _one(found, key)
    return found


def _one(value: Value, key: Key) -> Value | None:
    """Attribute and item are the same here: a model on one side is a dict on the other."""
    if key == IN_TEXT:
        return _from_text(value)
    for name, item in value.attributes:
        if name == key.name:
            return item
    value = content(value)
    if value.kind in _UNKNOWN:
        return None
    if value.kind is ValueKind.MAPPING:
        for known, item in value.entries:
            if known.kind is ValueKind.SCALAR and known.scalar == key.name and isinstance(known.scalar, type(key.name)):
                return item
        return None if cut(value) else ABSENT
    if value.kind is ValueKind.SEQUENCE and isinstance(key.name, int):
        return _item(value, key.name)
    return next((item for name, item in value.attributes if name == key.name), None)


def _from_text(value: Value) -> Value | None:
    """What a text that is JSON says; None for any other."""
    scalar = content(value).scalar
    if not isinstance(scalar, str | bytes) or cut(content(value)) or len(scalar) > _LONGEST_TEXT:
        return None
    try:
        return _as_value(json.loads(scalar))
    except (ValueError, RecursionError):
        return None


def _as_value(data: Any) -> Value:
    if isinstance(data, dict):
        entries = tuple((_as_value(key), _as_value(item)) for key, item in data.items())
        return Value(ValueKind.MAPPING, "dict", entries=entries, size=len(entries))
    if isinstance(data, list):
        return Value(ValueKind.SEQUENCE, "list", items=tuple(map(_as_value, data)), size=len(data))
    return Value(ValueKind.SCALAR, type(data).__name__, data, size=len(data) if isinstance(data, str) else None)


def _item(value: Value, index: int) -> Value | None:
    size = len(value.items) if value.size is None else value.size
    place = index + size if index < 0 else index
    if not 0 <= place < size:
        return ABSENT
    return value.items[place] if place < len(value.items) else None


def same(a: Value, b: Value) -> bool | None:
    """Whether two values are the same to a reader of a message: as `equal`, but a model is like its dict, a tuple like
    its list, a number like its text. None: cannot be said."""
    return _same(a, b, _DEPTH)


def _same(a: Value, b: Value, depth: int) -> bool | None:
    whole = equal(a, b)
    if whole is False and _not_a_number(a) and _not_a_number(b):
        return True
    if whole is None and a.identity and a.identity == b.identity and a.type == b.type:
        return True
    if whole or depth == 0 or a.kind in _UNKNOWN or b.kind in _UNKNOWN:
        return whole
    fields, others = _fields(a), _fields(b)
    if fields is not None and others is not None:
        return _same_fields(fields, others, depth)
    one, other = content(a), content(b)
    if one.kind is other.kind is ValueKind.SEQUENCE and one.size == other.size:
        return _every(
            [_same(x, y, depth - 1) for x, y in zip(one.items, other.items, strict=False)], whole=not cut(one)
        )
    texts = _text(a), _text(b)
    if None not in texts and (one.type == "str") != (other.type == "str"):
        return texts[0] == texts[1]
    return whole


def _every(parts: list[bool | None], *, whole: bool) -> bool | None:
    return False if False in parts else None if None in parts or not whole else True


def _fields(value: Value) -> dict[Scalar, Value] | None:
    if value.kind is ValueKind.OBJECT and value.attributes and value.missing is None:
        return dict(value.attributes)
    value = content(value)
    if value.kind is ValueKind.MAPPING and not cut(value):
        keys = [key.scalar for key, _ in value.entries if key.kind is ValueKind.SCALAR]
        return dict(zip(keys, (item for _, item in value.entries), strict=True)) if len(keys) == value.size else None
    return None


def _same_fields(a: dict[Scalar, Value], b: dict[Scalar, Value], depth: int) -> bool | None:
    if not a.keys() <= b.keys() and not b.keys() <= a.keys():
        return False
    return _every([_same(a[key], b[key], depth - 1) for key in a.keys() & b.keys()], whole=a.keys() == b.keys())


def _text(value: Value) -> str | None:
    """A scalar as a message writes it."""
    value = content(value)
    if value.kind is ValueKind.TEMPORAL:
        return str(value.scalar)
    if value.kind is not ValueKind.SCALAR or isinstance(value.scalar, bytes) or value.scalar is None or cut(value):
        return None
    return str(value.scalar)


def _not_a_number(value: Value) -> bool:
    return isinstance(value.scalar, float) and math.isnan(value.scalar)


def hole(value: Value) -> bool:
    """None, nothing in it, or not a number: what a missing value looks like."""
    value = content(value)
    if value.kind is ValueKind.SCALAR and isinstance(value.scalar, float):
        return math.isnan(value.scalar)
    if value.size is not None and value.kind in {ValueKind.SCALAR, ValueKind.SEQUENCE, ValueKind.MAPPING}:
        return value.size == 0
    return value.kind is ValueKind.SCALAR and value.type == "NoneType"


def telling(value: Value) -> bool:
    """Whether an equal value elsewhere is hardly there by chance."""
    value = content(value)
    if value.kind is ValueKind.SCALAR:
        scalar = value.scalar
        if isinstance(scalar, str | bytes):
            return len(scalar) >= 3
        return isinstance(scalar, int | float) and not isinstance(scalar, bool) and abs(scalar) >= 100
    if value.kind is ValueKind.SEQUENCE:
        return any(map(telling, value.items))
    if value.kind is ValueKind.MAPPING:
        return any(telling(item) for _, item in value.entries)
    return value.kind in {ValueKind.TEMPORAL, ValueKind.OBJECT}


def find(value: Value, wanted: Value, depth: int = _DEPTH) -> Iterator[Keys]:
    """Where in a value the same as ``wanted`` lies: () for the value itself, outer before inner."""
    if same(value, wanted):
        yield ()
    if depth == 0:
        return
    for key, inner in parts(value):
        for rest in find(inner, wanted, depth - 1):
            yield (key, *rest)


def parts(value: Value) -> Iterator[tuple[Key, Value]]:
    """Attributes, entries with plain keys, and items."""
    for name, inner in value.attributes:
        yield Key(name, attribute=True), inner
    value = content(value)
    if value.kind in {ValueKind.MAPPING, ValueKind.SEQUENCE}:
        for key, inner in value.entries:
            if key.kind is ValueKind.SCALAR:
                yield Key(key.scalar), inner
        if value.type in {"list", "tuple"}:
            for number, inner in enumerate(value.items):
                yield Key(number), inner
