"""What can be compared with what."""

from __future__ import annotations

import re

from aftertrace.errors import UsageError
from aftertrace.traceql import pattern
from aftertrace.traceql.fields import KINDS
from aftertrace.traceql.tree import Comparison, Constant, Field, Kind, Length, Scope
from aftertrace.traceql.wrong import wrong

_EQUALITY = ("=", "!=")
_REGEX = ("=~", "!~")
_UNORDERED = ("status", "kind", "call.function", "call.file", "exception.type", "line")
PLACE = re.compile(r"(?P<path>.*[^:/\s]):(?P<line>[0-9]{1,9})", re.DOTALL)
_LARGEST = 2**63


def name_of(field: Field) -> str:
    """``call.function`` for that field, ``duration`` for an intrinsic, "" for what a program names."""
    match field.scope:
        case Scope.INTRINSIC:
            return field.name
        case Scope.LINE:
            return "line"
        case Scope.CALL:
            return f"call.{field.name}"
        case Scope.EXCEPTION if field.name in {"type", "message"} and not field.keys:
            return f"exception.{field.name}"
        case _:
            return ""


def kind_of(field: Field) -> Kind | None:
    """What its values are; None where that is the program's business."""
    return KINDS.get(name_of(field))


def check(query: str, one: Comparison) -> None:
    """Raises UsageError where a comparison can never say anything."""
    if one.op in _REGEX:
        _check_pattern(query, one)
    elif isinstance(one.right, Constant):
        _check_constant(query, one, one.right)
    else:
        _check_fields(query, one)


def _check_pattern(query: str, one: Comparison) -> None:
    right = one.right
    if isinstance(one.left, Length) or kind_of(one.left) not in {None, Kind.TEXT} or one.left.scope is Scope.LINE:
        raise wrong(query, one.at, f"{one.left.text} is no text: {one.op} is for texts")
    if not isinstance(right, Constant) or right.kind is not Kind.TEXT:
        raise wrong(query, right.at, f"{one.op} needs an expression in quotes")
    try:
        pattern.compiled(str(right.value))
    except pattern.BadPattern as error:
        raise wrong(
            query, right.at, f"the regular expression cannot be used: {error}", "Its syntax is RE2's: docs/query.md."
        ) from None


def _check_constant(query: str, one: Comparison, constant: Constant) -> None:
    needed = Kind.NUMBER if isinstance(one.left, Length) else kind_of(one.left)
    if needed is not None and constant.kind is not needed:
        raise wrong(query, constant.at, f"{constant.text} is {_NO[needed]}")
    if needed is None and constant.kind in {Kind.DURATION, Kind.STATUS, Kind.SPAN_KIND}:
        raise wrong(query, constant.at, f"{one.left.text} is a value: compare it with a text, a number, true or null")
    numeric = constant.kind in {Kind.NUMBER, Kind.DURATION}
    if numeric and isinstance(constant.value, int) and abs(constant.value) >= _LARGEST:
        what = "whole numbers" if constant.kind is Kind.NUMBER else "spans of time, in nanoseconds,"
        raise wrong(query, constant.at, f"{what} have at most 64 bits")
    unordered = isinstance(one.left, Field) and name_of(one.left) in _UNORDERED
    if one.op not in _EQUALITY and (unordered or constant.kind in {Kind.BOOLEAN, Kind.NULL, Kind.NIL}):
        what = one.left.text if unordered else constant.text
        raise wrong(query, one.at, f"{what} has no order: = and != can be asked")
    if isinstance(one.left, Field) and one.left.scope is Scope.LINE and not PLACE.fullmatch(str(constant.value)):
        raise wrong(query, constant.at, f'{constant.text} is no line: line = "orders/pricing.py:41"')


_NO = {
    Kind.TEXT: "no text in double quotes",
    Kind.NUMBER: "no number",
    Kind.DURATION: "no span of time such as 250ms or 1.5s",
    Kind.STATUS: "no status: error, ok or unset",
    Kind.SPAN_KIND: "no kind: server, client, producer, consumer, internal or unspecified",
}


def _check_fields(query: str, one: Comparison) -> None:
    kinds = [_of(side) for side in (one.left, one.right)]
    if None not in kinds and kinds[0] is not kinds[1]:
        raise _unlike(query, one)
    if any(isinstance(side, Field) and name_of(side) in _UNORDERED for side in (one.left, one.right)):
        raise wrong(query, one.right.at, f"{one.left.text} and {one.right.text} cannot be compared with each other")
    if None in kinds and {*kinds} & {Kind.DURATION, Kind.STATUS, Kind.SPAN_KIND}:
        raise _unlike(query, one)


def _of(side: Field | Length | Constant) -> Kind | None:
    return kind_of(side) if isinstance(side, Field) else Kind.NUMBER


def _unlike(query: str, one: Comparison) -> UsageError:
    return wrong(query, one.right.at, f"{one.left.text} and {one.right.text} are not of one kind")
