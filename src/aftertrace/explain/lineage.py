"""What a computed value was made of, further back: the lines that made its inputs, and theirs, each with its way.

A line that computed a value is proven to be the cause only where nothing before it computed: an input that another line
made may be what is wrong, and then this line did what it should.
"""

from __future__ import annotations

import ast
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from aftertrace.explain import texts
from aftertrace.explain.hops import Kind, Link, Origin
from aftertrace.explain.likeness import ABSENT
from aftertrace.explain.origin import Tracer
from aftertrace.explain.scene import Point, Scene
from aftertrace.model import Value
from aftertrace.reconstruct.execution import Frame
from aftertrace.wire.equality import equal

MOST = 40  # lines that are gone back to
MADE = (Kind.COMPUTED, Kind.OPAQUE)
_REARRANGE = {"sorted", "list", "tuple", "set", "frozenset", "reversed", "iter", "enumerate", "range"}
_MOST_INPUTS = 12
_MOST_ROUNDS = 30
_DEEP = 4  # calls within each other, of one expression


@dataclass(slots=True)
class Lineage:
    """``made``: where inputs were made, the nearest first, with what stands outside, in the source, or could not be
    followed. ``changed``: those of them whose line made something new. ``calls``: all that the lines on the way called
    for it, one for each round, with the way to them."""

    made: list[Origin] = field(default_factory=list)
    changed: list[Origin] = field(default_factory=list)
    calls: list[tuple[Frame, Origin]] = field(default_factory=list)


def behind(tracer: Tracer, origins: Sequence[Origin]) -> Lineage:
    """What computed values were made of."""
    found = Lineage()
    seen = {_place(one) for one in origins}
    queue = deque(origins)
    while queue and len(found.made) < MOST:
        for one in _made(tracer, queue.popleft(), found):
            if _place(one) not in seen and len(found.made) < MOST:
                seen.add(_place(one))
                found.made.append(one)
                found.changed += [one] if _changed(tracer.scene, one) else []
                queue.append(one)
    return found


def _changed(scene: Scene, origin: Origin) -> bool:
    """Whether its line made something new of what it was given, or got it from where nothing is recorded;
    ``text.strip()`` of what has no blanks did not."""
    node = origin.point.node
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _REARRANGE:
        return False
    if origin.end.kind in MADE and origin.end.span is None and origin.value is not None:
        given = [scene.evaluate(at, one) for at, one in leaves(scene, origin.point)]
        if any(one is not None and one.type == origin.value.type and equal(one, origin.value) for one in given):
            return False
    return origin.end.kind in {*MADE, Kind.DEFAULT} or held_by_module(origin)


def held_by_module(origin: Origin) -> bool:
    """A name of the module, of which nothing is recorded."""
    point = origin.point
    named = isinstance(point.node, ast.Name) and point.node.id not in point.frame.code.names
    return named and origin.end.kind is Kind.LOST


def _place(origin: Origin) -> tuple[int, str, int, int, int, str]:
    """In the source: what a loop made in each of its rounds is looked into once."""
    made, node = origin.made, origin.point.node
    return made.frame.process, made.frame.code.path, made.line, node.lineno, node.col_offset, type(node).__name__


def _made(tracer: Tracer, origin: Origin, found: Lineage) -> Iterator[Origin]:
    """Of each input of the expression that made a value the origin, by the way that leads to the failure."""
    if origin.end.kind is Kind.DEFAULT:
        nodes = _key(origin.point)
    elif origin.end.kind in MADE and origin.end.span is None:
        nodes = list(leaves(tracer.scene, origin.point))
    else:
        return
    for at, node in nodes:
        value = tracer.scene.evaluate(at, node)
        found.calls += [(one, origin) for one in tracer.scene.callees(at, node)[:_MOST_ROUNDS]]
        if value is None and isinstance(node, ast.Name) and tracer.scene.binding(at.frame, node.id, at.until) is None:
            continue  # a function's or module's name
        value = None if value is ABSENT else value
        inner = tracer.trace(at.to(node, ()), use(at, node, value), value)
        inner.links[:1] = origin.links if len(inner.links) > 1 else [*origin.links[:-1], inner.links[0]]
        inner.doubts[:0] = origin.doubts
        if len(inner.links) > len(origin.links) or inner.end.kind in MADE:
            yield inner


def _key(point: Point) -> list[tuple[Point, ast.expr]]:
    """What a lookup that took its default had been asked for."""
    found = texts.lookup(point.node) if isinstance(point.node, ast.Call) else None
    return [(point, one) for one in texts.inputs(found.key)] if found is not None and found.key is not None else []


def leaves(scene: Scene, point: Point, deep: int = _DEEP) -> Iterator[tuple[Point, ast.expr]]:
    """What the point's expression was made of, each as small as it stands there."""
    for node in [*inputs(scene, point), *_rounds(scene, point)][:_MOST_INPUTS]:
        if isinstance(node, ast.Call | ast.Await) and not scene.callees(point, node):
            continue  # its own are among them
        if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Slice) and deep:
            yield from leaves(scene, point.to(node, ()), deep - 1)
        else:
            yield point, node


def _rounds(scene: Scene, point: Point) -> list[ast.expr]:
    """What a loop goes over that counts its rounds: ``for one in rows: count += 1``."""
    text, statement = scene.text_of(point.frame), scene.statement(point.frame, point.node.lineno)
    if text is None or not isinstance(statement, ast.AugAssign) or not isinstance(statement.value, ast.Constant):
        return []
    loop = next((one for one in text.above(statement) if isinstance(one, ast.For | ast.AsyncFor)), None)
    return [loop.iter] if loop is not None else []


def use(point: Point, node: ast.expr, value: Value | None) -> Link:
    """The line at which an input is used."""
    return Link(point.frame, node.lineno, point.step, ast.unparse(node), value, ran=point.step)


def inputs(scene: Scene, point: Point) -> list[ast.expr]:
    """What the point's expression was made of: of a call that is not recorded its arguments and its receiver."""
    node = point.node.value if isinstance(point.node, ast.Await) else point.node
    if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Slice):
        nodes = [*texts.inputs(node.value), *texts.inputs(node.slice)]
    elif not isinstance(node, ast.Call):
        nodes = texts.inputs(node)
    else:
        nodes = [one for argument in texts.arguments(node) for one in texts.inputs(argument)]
        if isinstance(node.func, ast.Attribute):
            nodes += texts.inputs(node.func.value)
    unrecorded = [one for one in nodes if isinstance(one, ast.Call) and not scene.callees(point, one)]
    return nodes + [inner for one in unrecorded for inner in inputs(scene, point.to(one, ())) if inner not in nodes]
