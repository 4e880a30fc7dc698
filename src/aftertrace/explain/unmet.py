"""What a query names and no request had: most likely misspelt, and then what was meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any

from aftertrace.explain.judging import compare
from aftertrace.explain.subjects import Call
from aftertrace.explain.world import World
from aftertrace.reconstruct.execution import Execution
from aftertrace.traceql.checks import name_of
from aftertrace.traceql.tree import Comparison, Constant, Field, Query, Scope, comparisons, fields

_MOST = 5000  # names that are held
_NEAR = 5
_ATTRIBUTES = (Scope.SPAN, Scope.RESOURCE, Scope.ANY)


class Unmet:
    """Over many requests: which fields and functions of a query were there at all, and which names were."""

    def __init__(self, query: Query) -> None:
        parts = [part for one in query.filters() for part in comparisons(one.condition)]
        self._fields = {field.text: field for part in parts for field in fields(part) if _may_be_missed(field)}
        self._functions = {
            part.right.text: part
            for part in parts
            if isinstance(part.right, Constant) and isinstance(part.left, Field) and part.op == "="
            if name_of(part.left) == "call.function"
        }
        self._names: dict[Scope, set[str]] = {}

    def look(self, world: World) -> None:
        """At one request."""
        self._spans(world.execution)
        attributes = {name for scope in _ATTRIBUTES for name in self._names.get(scope, ())}
        for text, field in list(self._fields.items()):
            if text in world.met or (field.scope in _ATTRIBUTES and field.name in attributes):
                del self._fields[text]
        if not self._fields and not self._functions:
            return
        codes = {id(frame.code): frame for frame in world.execution.frames.values()}
        for frame in codes.values():
            self._add(Scope.ARG, frame.code.arguments)
            self._add(Scope.LOCAL, (name for name in frame.code.names if name))
            self._add(Scope.CALL, [frame.code.name])
            for text, part in list(self._functions.items()):
                if compare(part, Call(world, frame, "")) is True:
                    del self._functions[text]

    def _spans(self, execution: Execution) -> None:
        for span in execution.spans.values():
            self._add(Scope.SPAN, span.attributes)
            self._add(Scope.RESOURCE, span.resource.attributes)

    def _add(self, scope: Scope, names: Iterable[str]) -> None:
        held = self._names.setdefault(scope, set())
        if len(held) < _MOST:
            held.update(names)

    def told(self, *, spans_only: bool = False) -> list[dict[str, Any]]:
        """``name``, as the query has it, and the nearest that were there."""
        if spans_only:
            own = [field for field in self._fields.values() if field.scope in _ATTRIBUTES]
            return [{"name": field.text, "near": self._near(field)} for field in own]
        found = [{"name": field.text, "near": self._near(field)} for field in self._fields.values()]
        return found + [{"name": text, "near": self._near_function(part)} for text, part in self._functions.items()]

    def _near(self, field: Field) -> list[str]:
        scopes = [Scope.SPAN, Scope.RESOURCE] if field.scope is Scope.ANY else [field.scope]
        names = {name for scope in scopes for name in self._names.get(scope, ())}
        prefix = "" if field.scope is Scope.ANY else field.scope
        return [f"{prefix}.{name}" for name in _closest(field.name, names)]

    def _near_function(self, part: Comparison) -> list[str]:
        wanted = str(part.right.value) if isinstance(part.right, Constant) else ""
        return [f'"{name}"' for name in _closest(wanted.rpartition(".")[2], self._names.get(Scope.CALL, set()))]


def _closest(name: str, names: set[str]) -> list[str]:
    if name in names:  # that is there, but not what lies in it
        return []
    return difflib.get_close_matches(name, sorted(names), _NEAR, 0.6)


def _may_be_missed(field: Field) -> bool:
    return field.scope in {Scope.ARG, Scope.LOCAL, *_ATTRIBUTES}
