"""A query as a tree. ``at``: the position of a node's first character in the query's text."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal as OneOf

from aftertrace.model import SpanKind, StatusCode

type Keys = tuple[str | int, ...]


class Scope(StrEnum):
    """Of what a field tells."""

    INTRINSIC = "intrinsic"  # name, duration, trace:id ...: of the span, or of its trace
    SPAN = "span"
    RESOURCE = "resource"
    ANY = ""  # ".key": the span's attribute, or else its resource's
    CALL = "call"
    ARG = "arg"
    RETURN = "return"
    LOCAL = "local"
    EXCEPTION = "exception"
    LINE = "line"


class Level(StrEnum):
    """What one pair of braces is judged on: the finest thing that it asks about."""

    SPAN = "span"
    CALL = "call"
    STEP = "step"


LEVEL = {
    **dict.fromkeys((Scope.INTRINSIC, Scope.SPAN, Scope.RESOURCE, Scope.ANY), Level.SPAN),
    **dict.fromkeys((Scope.CALL, Scope.ARG, Scope.RETURN), Level.CALL),
    **dict.fromkeys((Scope.LOCAL, Scope.EXCEPTION, Scope.LINE), Level.STEP),
}


@dataclass(frozen=True, slots=True)
class Field:
    """``name``: of an intrinsic (its plain form), an attribute, an argument or a local; ``keys``: the way into it."""

    scope: Scope
    name: str
    at: int
    text: str
    keys: Keys = ()


@dataclass(frozen=True, slots=True)
class Length:
    """``len(...)``"""

    of: Field
    at: int
    text: str


class Kind(StrEnum):
    """Of a constant."""

    TEXT = "text"
    NUMBER = "number"
    DURATION = "duration"
    BOOLEAN = "boolean"
    STATUS = "status"
    SPAN_KIND = "kind"
    NULL = "null"  # Python's None
    NIL = "nil"  # there is no such thing


@dataclass(frozen=True, slots=True)
class Constant:
    """``value``: a text, a number, of a duration its nanoseconds."""

    kind: Kind
    value: str | int | float | bool | StatusCode | SpanKind | None
    at: int
    text: str


type Operator = OneOf["=", "!=", "<", "<=", ">", ">=", "=~", "!~"]
type Operand = Field | Length | Constant


@dataclass(frozen=True, slots=True)
class Comparison:
    """Written with the constant first, it is turned around: ``left`` is a field, or its length."""

    left: Field | Length
    op: Operator
    right: Operand
    at: int


@dataclass(frozen=True, slots=True)
class Not:
    part: Condition
    at: int


@dataclass(frozen=True, slots=True)
class And:
    parts: tuple[Condition, ...]
    at: int


@dataclass(frozen=True, slots=True)
class Or:
    parts: tuple[Condition, ...]
    at: int


type Condition = Comparison | Not | And | Or


@dataclass(frozen=True, slots=True)
class Filter:
    """``{ ... }``; None: ``{ }``, every span."""

    condition: Condition | None
    level: Level
    at: int


@dataclass(frozen=True, slots=True)
class Below:
    """``left >> right``: what of ``right`` lies under something of ``left``; ``directly``: ``left > right``."""

    left: Spansets
    right: Spansets
    directly: bool
    at: int


@dataclass(frozen=True, slots=True)
class Both:
    """``&&``: all of both, where each has something."""

    parts: tuple[Spansets, ...]
    at: int


@dataclass(frozen=True, slots=True)
class Either:
    parts: tuple[Spansets, ...]
    at: int


type Spansets = Filter | Below | Both | Either


@dataclass(frozen=True, slots=True)
class Query:
    text: str
    root: Spansets

    def filters(self) -> list[Filter]:
        """In the order of the text."""
        return list(_filters(self.root))

    def on_code(self) -> bool:
        """Whether recordings are needed for the answer."""
        return any(one.level is not Level.SPAN for one in self.filters())


def _filters(node: Spansets) -> Iterator[Filter]:
    match node:
        case Filter():
            yield node
        case Below(left, right):
            yield from _filters(left)
            yield from _filters(right)
        case Both(parts) | Either(parts):
            for part in parts:
                yield from _filters(part)


def comparisons(node: Condition | None) -> Iterator[Comparison]:
    """All of a condition."""
    match node:
        case Comparison():
            yield node
        case Not(part):
            yield from comparisons(part)
        case And(parts) | Or(parts):
            for part in parts:
                yield from comparisons(part)


def fields(node: Comparison) -> list[Field]:
    """One or two."""
    sides = (side.of if isinstance(side, Length) else side for side in (node.left, node.right))
    return [side for side in sides if isinstance(side, Field)]
