"""Recorded values of different requests compared: by what they are, never by where they lay in memory."""

from __future__ import annotations

import math
import re
from collections.abc import Hashable

from aftertrace.model import Value, ValueKind
from aftertrace.wire.equality import content, cut

_DEPTH = 4
_MOST_ITEMS = 64
_LONGEST = 4096  # code points or bytes of a text that are compared
_RUNS = ((re.compile(r"[^\W\d_]+"), "a"), (re.compile(r"\d+"), "9"), (re.compile(r"\s+"), " "))
_LONGEST_PATTERN = 24


def digest(value: Value, depth: int = _DEPTH) -> Hashable | None:
    """Equal for equal values; None where what was captured does not say it: the rest was left out, it is opaque."""
    value = content(value)
    match value.kind:
        case ValueKind.SCALAR | ValueKind.TEMPORAL | ValueKind.NAMED:
            return _scalar(value)
        case ValueKind.RANGE:
            return (value.type, *(one.scalar for one in value.items))
        case ValueKind.SEQUENCE | ValueKind.MAPPING if cut(value) or depth == 0 or (value.size or 0) > _MOST_ITEMS:
            return None
        case ValueKind.SEQUENCE:
            return _joined(value.type, [digest(one, depth - 1) for one in value.items], ordered=_ordered(value))
        case ValueKind.MAPPING:
            pairs = [_joined("", [digest(key, depth - 1), digest(one, depth - 1)]) for key, one in value.entries]
            return _joined(value.type, pairs, ordered=False)
        case ValueKind.OBJECT | ValueKind.EXCEPTION if value.attributes and value.missing is None and depth:
            named = [_joined(name, [digest(one, depth - 1)]) for name, one in value.attributes]
            return _joined(value.type, [*named, *(digest(one, depth - 1) for one in value.items)])
        case _:
            return None


def _scalar(value: Value) -> Hashable | None:
    if value.kind is ValueKind.SCALAR and cut(value):
        return None
    scalar = value.scalar
    if isinstance(scalar, str | bytes) and len(scalar) > _LONGEST:
        return None
    if isinstance(scalar, float) and math.isnan(scalar):
        return (value.type, "nan")
    return (value.type, scalar)


def _ordered(value: Value) -> bool:
    return value.type not in {"set", "frozenset"}


def _joined(name: str, parts: list[Hashable | None], *, ordered: bool = True) -> Hashable | None:
    if any(one is None for one in parts):
        return None
    return (name, tuple(parts) if ordered else frozenset(parts))


def traits(value: Value) -> list[tuple[str, Hashable]]:
    """What can be said of a value in words besides what it is: its type; whether it is empty; a number's sign; how a
    text is made (``15 %`` is made as ``9 %``)."""
    inner = content(value)
    if inner.kind in {ValueKind.MISSING, ValueKind.REDACTED, ValueKind.UNBOUND}:
        return []
    found: list[tuple[str, Hashable]] = [("type", value.type)]
    sized = inner.kind in {ValueKind.SEQUENCE, ValueKind.MAPPING} or isinstance(inner.scalar, str | bytes)
    if sized and inner.size is not None:
        found.append(("empty", inner.size == 0))
    number = inner.scalar
    if isinstance(number, int | float) and not isinstance(number, bool) and number == number:  # noqa: PLR0124  # no nan
        found.append(("sign", (number > 0) - (number < 0)))
    if isinstance(inner.scalar, str) and inner.scalar and not cut(inner) and (made := pattern(inner.scalar)):
        found.append(("made", made))
    return found


def pattern(text: str) -> str:
    """``DE-W1`` as ``a-a9``; "" where it has too many parts to say anything."""
    if len(text) > _LONGEST:
        return ""
    for run, sign in _RUNS:
        text = run.sub(sign, text)
    return text if len(text) <= _LONGEST_PATTERN else ""
