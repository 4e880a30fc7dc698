"""Commands of Redis as statements on a key, or on a field of a hash: what one reads, sets, or counts up and down."""

from __future__ import annotations

import ast
from dataclasses import dataclass

from aftertrace.explain import texts
from aftertrace.explain.access import VALUE, Access, number, own_calls, scalar
from aftertrace.explain.scene import Point, Scene
from aftertrace.explain.statements import Change, Condition, Statement, Term
from aftertrace.model import Span
from aftertrace.reconstruct.execution import Step

_SERVER = ("server.address", "server.port", "db.namespace")
_LASTING = {"ex", "px", "exat", "pxat", "keepttl"}  # what says no more than how long it is kept


@dataclass(frozen=True, slots=True)
class _Command:
    methods: tuple[str, ...]
    field: bool = False
    sign: str | None = None  # of what it adds; "" it sets; None: it reads


_COMMANDS = {
    "GET": _Command(("get",)),
    "HGET": _Command(("hget",), field=True),
    "SET": _Command(("set",), sign=""),
    "HSET": _Command(("hset",), field=True, sign=""),
    "INCR": _Command(("incr",), sign="+"),
    "INCRBY": _Command(("incr", "incrby"), sign="+"),
    "INCRBYFLOAT": _Command(("incrbyfloat",), sign="+"),
    "DECR": _Command(("decr",), sign="-"),
    "DECRBY": _Command(("decr", "decrby"), sign="-"),
    "HINCRBY": _Command(("hincrby",), field=True, sign="+"),
    "HINCRBYFLOAT": _Command(("hincrbyfloat",), field=True, sign="+"),
}


def access(point: Point, scene: Scene, span: Span, step: Step, ended: int) -> Access | None:
    """None: it is none of those, or not what the line calls itself. ``point``: where the line ran."""
    command = _COMMANDS.get(str(span.attributes.get("db.operation.name", "")))
    statement = scene.statement(point.frame, step.line)
    if command is None or statement is None:
        return None
    calls = [one for one in own_calls(statement) if texts.called(one) in command.methods]
    if len(calls) != 1 or not _plain(calls[0]):
        return None
    given = tuple(number(scalar(scene.evaluate(point.to(one), one))) for one in calls[0].args)
    names = 2 if command.field else 1
    most = names if command.sign is None else names + 1
    if len(given) > most or len(given) < (names if command.sign != "" else most) or None in given[:names]:
        return None
    read = _statement(span, command, names, given_amount=len(given) > names)
    label = f"redis[{':'.join(str(one) for one in given[:names])}]"
    return Access(
        scene, point.frame, step, ended, span.start_ns, span.end_ns, read, given, texts.called(calls[0]), label
    )


def _plain(call: ast.Call) -> bool:
    starred = any(isinstance(one, ast.Starred) for one in call.args)
    return not starred and all(one.arg in _LASTING for one in call.keywords)


def _statement(span: Span, command: _Command, names: int, *, given_amount: bool) -> Statement:
    where = tuple(Condition(name, "=", Term(place=at)) for at, name in enumerate(("key", "field")[:names]))
    told = span.attributes
    table = " ".join(["redis", *(str(told.get(name, "")) for name in _SERVER)])
    if command.sign is None:
        return Statement("SELECT", table, where, columns=(VALUE,))
    term = Term(place=names) if given_amount else Term(literal=1)
    return Statement("UPDATE", table, where, changes=(Change(VALUE, command.sign, term),))
