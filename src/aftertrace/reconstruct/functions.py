"""The functions that an expression over recorded values may call."""

from __future__ import annotations

import ast
from collections.abc import Callable, Sequence

from aftertrace.model import Value, ValueKind
from aftertrace.reconstruct.comparison import compare
from aftertrace.reconstruct.operators import (
    NotCaptured,
    Refused,
    content,
    length,
    make,
    not_captured,
    plain,
    truth,
)
from aftertrace.wire.equality import cut

_DIGITS = 1200  # decimal digits that are turned into or out of a text


def _one(values: Sequence[Value], name: str) -> Value:
    if len(values) != 1:
        raise Refused(f"{name}() takes one value here, not {len(values)}")
    return values[0]


def _len(values: Sequence[Value]) -> Value:
    return make(length(_one(values, "len")))


def _type(values: Sequence[Value]) -> Value:
    """The type's name: known even where the value is not."""
    value = _one(values, "type")
    if not value.type:
        raise not_captured(value)
    return make(value.type)


def _int(values: Sequence[Value]) -> Value:
    number = plain(_one(values, "int"))
    if isinstance(number, str | bytes) and len(number) > _DIGITS:
        raise Refused("int() of a text this long is not asked")
    if number is None or isinstance(number, complex):
        raise Refused("int() takes a number or a text")
    return make(int(number))


def _float(values: Sequence[Value]) -> Value:
    number = plain(_one(values, "float"))
    if number is None or isinstance(number, complex):
        raise Refused("float() takes a number or a text")
    return make(float(number))


def _str(values: Sequence[Value]) -> Value:
    value = content(_one(values, "str"))
    if value.kind is ValueKind.TEMPORAL and value.type != "timedelta":
        return make(str(value.scalar))
    scalar = plain(value)
    if isinstance(scalar, int) and scalar.bit_length() > 4 * _DIGITS:
        raise Refused("str() of a number this large is not asked")
    return make(str(scalar))


def _bool(values: Sequence[Value]) -> Value:
    return make(truth(_one(values, "bool")))


def _abs(values: Sequence[Value]) -> Value:
    number = plain(_one(values, "abs"))
    if not isinstance(number, int | float | complex):
        raise Refused("abs() takes a number")
    return make(abs(number))


def _items(values: Sequence[Value], name: str) -> Sequence[Value]:
    """What a list, tuple, set or dict (its keys) holds, all of it. NotCaptured."""
    value = content(_one(values, name))
    if value.kind not in {ValueKind.SEQUENCE, ValueKind.MAPPING}:
        raise Refused(f"{name}() takes a list, tuple, set or dict")
    if cut(value):
        raise not_captured(value, f"all of these {value.size} items")
    return value.items if value.kind is ValueKind.SEQUENCE else [key for key, _ in value.entries]


def _best(name: str, order: ast.cmpop) -> Callable[[Sequence[Value]], Value]:
    def choose(values: Sequence[Value]) -> Value:
        items = values if len(values) > 1 else _items(values, name)
        if not items:
            raise Refused(f"{name}() of nothing")
        best = items[0]
        for one in items[1:]:
            if compare(order, one, best):
                best = one
        return best

    return choose


def _sum(values: Sequence[Value]) -> Value:
    total: complex = 0
    for one in _items(values, "sum"):
        number = plain(one)
        if not isinstance(number, int | float | complex):
            raise Refused("sum() takes numbers")
        total += number
    return make(total)


def _quantified(name: str, decides: bool) -> Callable[[Sequence[Value]], Value]:
    """any() ends at the first true item, all() at the first false one; unknown items count only if none decides."""

    def ask(values: Sequence[Value]) -> Value:
        unknown: NotCaptured | None = None
        for one in _items(values, name):
            try:
                if truth(one) is decides:
                    return make(decides)
            except NotCaptured as missing:
                unknown = missing
        if unknown is not None:
            raise unknown
        return make(not decides)

    return ask


FUNCTIONS: dict[str, Callable[[Sequence[Value]], Value]] = {
    "abs": _abs,
    "all": _quantified("all", decides=False),
    "any": _quantified("any", decides=True),
    "bool": _bool,
    "float": _float,
    "int": _int,
    "len": _len,
    "max": _best("max", ast.Gt()),
    "min": _best("min", ast.Lt()),
    "str": _str,
    "sum": _sum,
    "type": _type,
}
