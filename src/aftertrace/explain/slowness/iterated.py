"""What a loop goes over, and how many items that had: ``len(cart.positions) = 60``."""

from __future__ import annotations

import ast
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass

from aftertrace.explain.scene import texts
from aftertrace.explain.scene.scene import Point, Scene
from aftertrace.explain.slowness.repeats import Loop
from aftertrace.model import Value, ValueKind
from aftertrace.reconstruct.execution import Frame, StepKind
from aftertrace.wire.equality import as_range, content

_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
_SLOW = (ast.Call, ast.Await, ast.Attribute, ast.Subscript, ast.With, ast.AsyncWith, ast.AsyncFor, ast.Import,
         ast.ImportFrom, ast.Yield, ast.YieldFrom, ast.Delete)  # fmt: skip
_SAME_LENGTH = {"enumerate", "sorted", "list", "tuple", "reversed", "iter", "range", "len", "map", "zip", "tqdm"}
_SAME_METHODS = {"items", "values", "keys", "copy"}
_LONG_NAME = 60


@dataclass(frozen=True, slots=True)
class Iterated:
    """``name`` as the source has it; ``exact``: it has as many items as the loop had rounds."""

    name: str
    size: int
    exact: bool


def is_loop(scene: Scene, frame: Frame, line: int) -> bool:
    """Whether a line of a frame's code stands in a loop, or a comprehension."""
    scope = scene.scope(frame)
    if scope is None:
        return False
    return isinstance(scope, _COMPREHENSIONS) or any(_around(one, line) for one in ast.walk(scope))


def between(scene: Scene, loop: Loop) -> set[int]:
    """The lines of a loop that ran between its rounds and may have taken time: not its head, nor one that calls and
    reads nothing but plain names."""
    own = scene.execution.steps_of(loop.frame)
    low, high = bisect_left(own, loop.rounds[0].step), bisect_left(own, loop.rounds[-1].step)
    lines = {scene.step(index).line for index in own[low:high] if scene.step(index).kind is StepKind.LINE}
    return {one for one in lines if one == loop.line or not _quick(scene.statement(loop.frame, one))}


def _quick(statement: ast.stmt | None) -> bool:
    if isinstance(statement, ast.For):
        return isinstance(statement.iter, ast.Name | ast.Attribute)
    return statement is not None and not any(isinstance(one, _SLOW) for one in texts.own_nodes(statement))


def iterated(scene: Scene, loop: Loop) -> Iterated | None:
    """What the rounds go over: the collection that has as many items as there are rounds, or else the innermost whose
    size is recorded."""
    found: list[Iterated] = []
    for point in _sources(scene, loop):
        for node in _within(point.node):
            size = _size(scene, point, node)
            name = ast.unparse(node)
            if size is not None and len(name) <= _LONG_NAME:
                found.append(Iterated(name, size, size == loop.count))
    return next((one for one in found if one.exact), found[0] if found else None)


def _sources(scene: Scene, loop: Loop) -> Iterator[Point]:
    """What the loops around a line go over, the innermost first."""
    frame, first = loop.frame, loop.rounds[0].step
    scope = scene.scope(frame)
    if isinstance(scope, _COMPREHENSIONS):  # a generator: what it goes over was worked out by its caller
        caller = scene.execution.caller_at(frame, frame.first_step)
        if caller is not None:
            yield _point(scene, caller, scope.generators[0].iter, frame.first_step)
        return
    here = [one for one in ast.walk(scope) if _around(one, loop.line)] if scope is not None else []
    for node in sorted(here, key=lambda one: (getattr(one, "lineno", 0), getattr(one, "col_offset", 0)), reverse=True):
        if isinstance(node, _COMPREHENSIONS):
            yield _point(scene, frame, node.generators[0].iter, first)
        elif isinstance(node, ast.For | ast.AsyncFor):
            head = scene.ran(frame, node.lineno, first)
            began = scene.loop_began(frame, node, head) if head is not None else first
            yield Point(frame, node.iter, began, _next(scene, frame, began))


def _around(node: ast.AST, line: int) -> bool:
    if isinstance(node, ast.For | ast.AsyncFor | ast.While):
        return node.body[0].lineno <= line <= (node.end_lineno or 0)
    return isinstance(node, _COMPREHENSIONS) and node.lineno <= line <= (node.end_lineno or 0)


def _point(scene: Scene, frame: Frame, node: ast.expr, until: int) -> Point:
    began = scene.line_before(frame, until)
    return Point(frame, node, until if began is None else began, until)


def _next(scene: Scene, frame: Frame, step: int) -> int:
    own = scene.execution.steps_of(frame)
    at = bisect_left(own, step) + 1
    return own[at] if at < len(own) else step


def _within(node: ast.expr) -> Iterator[ast.expr]:
    """The expression, and what it takes as it is: ``xs`` of ``enumerate(xs)``, ``d`` of ``d.items()``."""
    yield node
    match node:
        case ast.Call(func=ast.Name(id=name), args=args) if name in _SAME_LENGTH:
            for one in args:
                yield from _within(one)
        case ast.Call(func=ast.Attribute(value=inner, attr=name)) if name in _SAME_METHODS:
            yield from _within(inner)


def _size(scene: Scene, point: Point, node: ast.expr) -> int | None:
    value = scene.evaluate(point, node)
    return length(value) if value is not None else None


def length(value: Value) -> int | None:
    """``len()`` of what was captured, where that is known; of a text it is none."""
    value = content(value)
    if value.kind is ValueKind.RANGE:
        return len(as_range(value))
    if value.kind in {ValueKind.SEQUENCE, ValueKind.MAPPING}:
        return value.size
    return None
