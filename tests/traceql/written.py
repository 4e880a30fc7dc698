"""Queries at random: trees, and the texts that they are written as."""

from __future__ import annotations

import json
from dataclasses import fields, is_dataclass
from typing import Any

from hypothesis import strategies as st

from aftertrace.model import SpanKind, StatusCode
from aftertrace.traceql import tree
from aftertrace.traceql.fields import WORDS
from aftertrace.traceql.tree import (
    LEVEL,
    And,
    Below,
    Both,
    Comparison,
    Constant,
    Either,
    Field,
    Filter,
    Kind,
    Length,
    Level,
    Not,
    Or,
    Scope,
)

_NAMES = st.sampled_from(["qty", "item", "_x", "größe", "total2"])
_ATTRIBUTES = st.sampled_from(["http.route", "a", "x-request-id", "with blank", 'qu"ote', "0", "$map", "<redacted"])
_KEYS = st.lists(st.one_of(_NAMES, st.integers(-9, 9), st.sampled_from(["two words", "]", '"'])), max_size=3).map(tuple)
_TEXTS = st.one_of(
    st.sampled_from(["", "KeyError", "a\nb", '"', "\\", "}", "&&", "' OR 1=1 --", "{p0:String}"]), st.text(max_size=8)
)
_INTRINSIC = st.sampled_from(["name", "statusMessage", "span:id", "trace:id", "trace:rootName"])
_ALL = ("=", "!=", "<", "<=", ">", ">=")


def field(scope: Scope, name: str = "", keys: tree.Keys = ()) -> Field:
    return Field(scope, name, 0, "", keys)


def text(value: str) -> Constant:
    return Constant(Kind.TEXT, value, 0, "")


def _clean(value: str) -> bool:
    return not any("\ud800" <= one <= "\udfff" for one in value)


texts = _TEXTS.filter(_clean)
numbers = st.one_of(st.integers(-(2**63) + 1, 2**63 - 1), st.floats(allow_nan=False, allow_infinity=False)).map(
    lambda one: Constant(Kind.NUMBER, one, 0, "")
)
plain = st.one_of(texts.map(text), numbers)
fixed = st.sampled_from(
    [Constant(kind, value, 0, "") for kind, value in WORDS.values() if kind in {Kind.BOOLEAN, Kind.NULL, Kind.NIL}]
)
of_spans = st.one_of(
    st.builds(field, st.sampled_from([Scope.SPAN, Scope.RESOURCE, Scope.ANY]), _ATTRIBUTES),
)
of_code = st.one_of(
    st.builds(field, st.sampled_from([Scope.ARG, Scope.LOCAL]), _NAMES, _KEYS),
    st.builds(field, st.just(Scope.RETURN), st.just(""), _KEYS),
)


def compared(values: st.SearchStrategy[Field]) -> st.SearchStrategy[Comparison]:
    """What a program names, with all that it can be compared with."""
    return st.one_of(
        st.builds(Comparison, values, st.sampled_from(_ALL), plain, st.just(0)),
        st.builds(Comparison, values, st.sampled_from(("=", "!=")), fixed, st.just(0)),
        st.builds(
            Comparison,
            values,
            st.sampled_from(("=~", "!~")),
            st.sampled_from(["a.*", ".", "", "[^x]+", "(a|b)?"]).map(text),
            st.just(0),
        ),
    )


lengths = st.builds(Comparison, of_code.map(lambda one: Length(one, 0, "")), st.sampled_from(_ALL), numbers, st.just(0))
intrinsics = st.one_of(
    st.builds(
        Comparison,
        _INTRINSIC.map(lambda one: field(Scope.INTRINSIC, one)),
        st.sampled_from(_ALL),
        texts.map(text),
        st.just(0),
    ),
    st.builds(
        Comparison,
        st.just(field(Scope.INTRINSIC, "duration")),
        st.sampled_from(_ALL),
        st.integers(-(10**12), 10**12).map(lambda one: Constant(Kind.DURATION, one, 0, "")),
        st.just(0),
    ),
    st.builds(
        Comparison,
        st.just(field(Scope.INTRINSIC, "status")),
        st.sampled_from(("=", "!=")),
        st.sampled_from(StatusCode).map(lambda one: Constant(Kind.STATUS, one, 0, "")),
        st.just(0),
    ),
    st.builds(
        Comparison,
        st.just(field(Scope.INTRINSIC, "kind")),
        st.sampled_from(("=", "!=")),
        st.sampled_from(SpanKind).map(lambda one: Constant(Kind.SPAN_KIND, one, 0, "")),
        st.just(0),
    ),
)
places = st.builds(
    Comparison,
    st.just(field(Scope.LINE)),
    st.sampled_from(("=", "!=")),
    st.just(text("orders/pricing.py:41")),
    st.just(0),
)
between = st.builds(Comparison, of_code, st.sampled_from(_ALL), of_code, st.just(0))
span_comparisons = st.one_of(compared(of_spans), intrinsics)
comparisons = st.one_of(span_comparisons, compared(of_code), lengths, places, between)


def conditions(leaves: st.SearchStrategy[Comparison]) -> st.SearchStrategy[tree.Condition]:
    def more(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
        some = st.lists(inner, min_size=2, max_size=3).map(tuple)
        return st.one_of(
            st.builds(Not, inner, st.just(0)), st.builds(And, some, st.just(0)), st.builds(Or, some, st.just(0))
        )

    return st.recursive(leaves, more, max_leaves=6)


def filters(leaves: st.SearchStrategy[Comparison]) -> st.SearchStrategy[Filter]:
    return st.one_of(st.none(), conditions(leaves)).map(_filter)


def _filter(condition: tree.Condition | None) -> Filter:
    found = [LEVEL[one.scope] for each in tree.comparisons(condition) for one in tree.fields(each)]
    order = (Level.SPAN, Level.CALL, Level.STEP)
    return Filter(condition, max(found, key=order.index, default=Level.SPAN), 0)


def spansets(leaves: st.SearchStrategy[Comparison], *, structural: bool = True) -> st.SearchStrategy[tree.Spansets]:
    def more(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
        some = st.lists(inner, min_size=2, max_size=3).map(tuple)
        kinds = [st.builds(Both, some, st.just(0)), st.builds(Either, some, st.just(0))]
        if structural:
            kinds.append(st.builds(Below, inner, inner, directly=st.booleans(), at=st.just(0)))
        return st.one_of(kinds)

    return st.recursive(filters(leaves), more, max_leaves=4)


# -- as text


def written(node: Any) -> str:
    """A query's text; parentheses wherever they can stand."""
    match node:
        case Filter(condition):
            return f"{{ {written(condition)} }}" if condition is not None else "{}"
        case Both(parts) | Either(parts):
            return (" && " if isinstance(node, Both) else " || ").join(f"({written(part)})" for part in parts)
        case Below(left, right, directly):
            return f"({written(left)}) {'>' if directly else '>>'} ({written(right)})"
        case And(parts) | Or(parts):
            return (" && " if isinstance(node, And) else " || ").join(f"({written(part)})" for part in parts)
        case Not(part):
            return f"!({written(part)})"
        case Comparison(left, op, right):
            return f"{written(left)} {op} {written(right)}"
        case Length(of):
            return f"len({written(of)})"
        case Constant():
            return _constant(node)
        case _:
            return _field(node)


def _quoted(value: str) -> str:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _constant(one: Constant) -> str:
    match one.kind:
        case Kind.TEXT:
            return _quoted(str(one.value))
        case Kind.DURATION:
            return f"{one.value}ns"
        case Kind.STATUS | Kind.SPAN_KIND:
            return one.value.name.lower()  # type: ignore[union-attr]
        case Kind.NUMBER:
            return repr(one.value)
        case Kind.NIL:
            return "nil"
        case _:
            return json.dumps(one.value)


def _field(one: Field) -> str:
    match one.scope:
        case Scope.INTRINSIC:
            return one.name
        case Scope.SPAN | Scope.RESOURCE | Scope.ANY:
            return f"{one.scope}.{_quoted(one.name)}"
        case Scope.LINE:
            return "line"
    keys = "".join(f"[{key}]" if isinstance(key, int) else f"[{_quoted(key)}]" for key in one.keys)
    return f"{one.scope}.{one.name}{keys}" if one.name else f"{one.scope}{keys}"


def bare(node: Any) -> Any:
    """A tree without positions and texts."""
    if is_dataclass(node):
        told = [(one.name, bare(getattr(node, one.name))) for one in fields(node) if one.name not in {"at", "text"}]
        return type(node).__name__, tuple(told)
    return tuple(map(bare, node)) if isinstance(node, tuple) else (type(node).__name__, node)
