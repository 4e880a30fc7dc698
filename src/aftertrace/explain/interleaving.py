"""What a request did with what others may work on too: which statement, on which row or key, which line on which object
in memory, when, and what it saw.

A row is known by the statement's own text and the parameters at its call, a key by the command's. Times are those of
the span around it, on the clock of its host: what was done was done between them.
"""

from __future__ import annotations

import ast

from aftertrace.explain import items, keys, statements
from aftertrace.explain.access import Access, own_calls, scalar
from aftertrace.explain.scene import Point, Scene
from aftertrace.model import Scalar, Span, ValueKind
from aftertrace.reconstruct.execution import Frame, Step, StepKind
from aftertrace.wire.equality import content

_MOST = 400  # statements of one request


def accesses(scene: Scene) -> list[Access]:
    """A request's readable statements, in order."""
    ends = {step.span_id: step.index for step in scene.execution.steps if step.kind is StepKind.SPAN_END}
    found = list[Access]()
    for step in scene.execution.steps:
        if step.kind is StepKind.SPAN_START and step.activation and len(found) < _MOST and step.span_id in ends:
            access = _access(scene, step, ends[step.span_id])
            found += [access] if access is not None else []
    return sorted([*found, *items.accesses(scene)], key=lambda one: one.step.index)


def _access(scene: Scene, step: Step, ended: int) -> Access | None:
    span, frame = scene.execution.spans.get(step.span_id), scene.execution.frame(step)
    if span is None or frame is None or not span.end_ns or span.status.name == "ERROR":  # which did nothing
        return None
    ran, statement = scene.line_before(frame, step.index), scene.statement(frame, step.line)
    if ran is None or statement is None:
        return None
    if span.attributes.get("db.system.name") == "redis":
        return keys.access(Point(frame, ast.Constant(None), ran, step.index), scene, span, step, ended)
    return _row(scene, span, frame, (step, ended, ran))


def _row(scene: Scene, span: Span, frame: Frame, steps: tuple[Step, int, int]) -> Access | None:
    step, ended, ran = steps
    text, statement = span.attributes.get("db.query.text"), scene.statement(frame, step.line)
    read = statements.read(text) if isinstance(text, str) else None
    if read is None or statement is None or not isinstance(text, str):
        return None
    calls = [one for one in own_calls(statement) if one.args and _says(scene, frame, one.args[0], text, ran)]
    if len(calls) != 1:
        return None
    given = _given(scene, Point(frame, calls[0], ran, step.index), calls[0])
    return Access(scene, frame, step, ended, span.start_ns, span.end_ns, read, given)


def _says(scene: Scene, frame: Frame, node: ast.expr, text: str, ran: int) -> bool:
    value = scene.evaluate(Point(frame, node, ran, ran), node)
    held = content(value).scalar if value is not None else None
    return isinstance(held, str) and held.split() == text.split()


def _given(scene: Scene, point: Point, call: ast.Call) -> tuple[Scalar | None, ...] | dict[str, Scalar] | None:
    if len(call.args) < 2:
        return ()
    if isinstance(call.args[1], ast.Tuple | ast.List):  # each for itself: one that is not known hides no other
        return tuple(scalar(scene.evaluate(point.to(one), one)) for one in call.args[1].elts)
    value = scene.evaluate(point.to(call.args[1]), call.args[1])
    if value is None:
        return None
    if value.kind is ValueKind.SEQUENCE and value.size == len(value.items):
        return tuple(scalar(one) for one in value.items)
    if value.kind is ValueKind.MAPPING:
        return {f"{key.scalar!s}": scalar(one) for key, one in value.entries}
    return None
