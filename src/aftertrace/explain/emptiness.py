"""Why nothing is in a container: the loop that was to fill it had no rounds, since what it went over was empty."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from aftertrace.explain import texts
from aftertrace.explain.hops import Link, Origin
from aftertrace.explain.likeness import hole
from aftertrace.explain.origin import Tracer
from aftertrace.explain.scene import Point, Scene
from aftertrace.model import Value, ValueKind
from aftertrace.reconstruct.execution import StepKind
from aftertrace.wire.equality import content

_FILLS = {"append", "add", "extend", "insert", "update", "appendleft", "setdefault"}
_NEW = {"list", "dict", "set", "deque", "Counter", "defaultdict", "OrderedDict", "bytearray"}

type _Loop = ast.For | ast.AsyncFor | ast.While


def behind(tracer: Tracer, origin: Origin) -> Origin | None:
    """The origin of what the one loop went over that would have put something in; None where that is not it."""
    scene, made = tracer.scene, origin.made
    if origin.value is None or not _is_empty(origin.value) or not _is_new(origin.point.node):
        return None
    scope, text = scene.scope(made.frame), scene.text_of(made.frame)
    names = {one for one in made.frame.code.names if text and scope and text.given(scope, made.line, one)}
    found: list[tuple[_Loop, int, ast.expr, Value]] = []
    for loop in _loops(scope, names, made.line) if scope is not None else ():
        began = _began(scene, origin, loop)
        if began is None:
            continue
        source = _empty(scene, origin, loop, began)
        if source is None:
            return None  # it had rounds, or what it went over is not known
        found.append((loop, began, *source))
    if len(found) != 1:
        return None
    loop, began, node, value = found[0]
    says = f"the loop had no rounds: {ast.unparse(node)} was empty"
    start = Link(made.frame, loop.lineno, began, ast.unparse(node), value, says, ran=began)
    inner = tracer.trace(Point(made.frame, node, began, began), start, value)
    inner.links[:0] = origin.links
    inner.doubts[:0] = origin.doubts
    return inner


def _is_empty(value: Value) -> bool:
    return content(value).kind in {ValueKind.SEQUENCE, ValueKind.MAPPING} and hole(value)


def _is_new(node: ast.expr) -> bool:
    """``[]``, ``{}``, ``set()``"""
    match node:
        case ast.List(elts=[]) | ast.Dict(keys=[]):
            return True
        case ast.Call(args=args) if texts.called(node) in _NEW:
            return not args or (texts.called(node) == "defaultdict" and len(args) == 1)
        case _:
            return False


def _loops(scope: ast.AST, names: set[str], line: int) -> Iterator[_Loop]:
    """The outermost loops behind a line that put something into one of these."""
    for node in ast.walk(scope):
        if isinstance(node, ast.For | ast.AsyncFor | ast.While) and node.lineno > line:
            own = [inner for statement in node.body for inner in ast.walk(statement)]
            if any(_fills(one, names) for one in own):
                yield node


def _fills(node: ast.AST, names: set[str]) -> bool:
    match node:
        case ast.Call(func=ast.Attribute(value=ast.Name(id=name), attr=method)):
            return name in names and method in _FILLS
        case ast.Assign(targets=[ast.Subscript(value=ast.Name(id=name))]) | ast.AugAssign(target=ast.Name(id=name)):
            return name in names
        case _:
            return False


def _began(scene: Scene, origin: Origin, loop: _Loop) -> int | None:
    """The step at which a loop was come to after the container had been made."""
    frame = origin.made.frame
    for index in scene.steps_between(frame, origin.point.step, len(scene.execution.steps)):
        step = scene.step(index)
        if step.kind is StepKind.LINE and step.line == loop.lineno:
            return index
    return None


def _empty(scene: Scene, origin: Origin, loop: _Loop, began: int) -> tuple[ast.expr, Value] | None:
    """What a loop without a round went over, or held its condition against, if that was empty."""
    last = loop.body[-1].end_lineno or 0
    own = scene.steps_between(origin.made.frame, began, len(scene.execution.steps))
    ran = (scene.step(index).line for index in own if scene.step(index).kind is StepKind.LINE)
    if any(loop.body[0].lineno <= line <= last for line in ran):
        return None
    nodes = texts.inputs(loop.test) if isinstance(loop, ast.While) else [loop.iter]
    for node in nodes:
        value = scene.evaluate(Point(origin.made.frame, node, began, began), node)
        if value is not None and _is_empty(value):
            return node, value
    return None
