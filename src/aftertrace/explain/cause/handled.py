"""Exceptions that ended in a handler of the program's own code: where they were raised, and what took them."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from aftertrace.explain.scene.scene import Scene
from aftertrace.reconstruct.execution import Frame, Step, StepKind
from aftertrace.reconstruct.raises import first_raises

_BROAD = {"", "Exception", "BaseException"}


@dataclass(frozen=True, slots=True)
class Handled:
    """An exception that ended in a handler of the program's own."""

    raised: Step
    frame: Frame
    handled: Step
    by: Frame
    handler: ast.ExceptHandler | None  # None: a `with` took it, or the source is not known

    @property
    def kind(self) -> str:
        return self.raised.value.type if self.raised.value is not None else ""


def handled(scene: Scene) -> Iterator[Handled]:
    """Exceptions whose last step is that a handler took them, and for which no other was raised instead."""
    steps = scene.execution.steps
    firsts = first_raises(scene.execution)
    ways: dict[tuple[int, int], list[Step]] = {}
    begun = set(firsts)
    found: list[list[Step]] = []
    for step in steps:
        if not step.exception:
            continue
        key = (step.process, step.exception)
        if step.index in begun:
            ways[key] = [step]
            found.append(ways[key])
        elif key in ways:
            ways[key].append(step)
    instead = {_context(steps[index]) for index in firsts}
    for way in found:
        raised, last = way[0], way[-1]
        frame, by = scene.execution.frame(raised), scene.execution.frame(last)
        if last.kind is not StepKind.HANDLED or frame is None or by is None:
            continue
        one = Handled(raised, frame, last, by, _handler(scene, by, last))
        if (raised.process, raised.exception) not in instead and not _raises(scene, one):
            yield one


def _raises(scene: Scene, one: Handled) -> bool:
    """The handler itself raised another: `raise ... from None` leaves no trace of the first."""
    if one.handler is None:
        return False
    first, last = one.handler.lineno, one.handler.end_lineno or 0
    for index in scene.steps_between(one.by, one.handled.index, len(scene.execution.steps)):
        step = scene.step(index)
        if step.kind is StepKind.LINE and not first <= step.line <= last:
            return False
        if step.kind is StepKind.RAISE and first <= step.line <= last:
            return True
    return False


def _context(step: Step) -> tuple[int, int]:
    """The exception during whose handling another was raised."""
    found = step.value.attributes if step.value is not None else ()
    return step.process, next((one.identity for name, one in found if name == "__context__"), 0)


def _handler(scene: Scene, by: Frame, step: Step) -> ast.ExceptHandler | None:
    """The handler that ran after a step: that of the line that ran last before its body did."""
    text_of = scene.text_of(by)
    scope = scene.scope(by)
    if text_of is None or scope is None:
        return None
    own = scene.steps_between(by, step.index, len(scene.execution.steps))
    lines = [scene.step(one).line for one in own[:200] if scene.step(one).kind is StepKind.LINE]
    handlers = [one for one in ast.walk(scope) if isinstance(one, ast.ExceptHandler)]
    for line in lines:
        inside = [one for one in handlers if one.body[0].lineno <= line <= (one.end_lineno or 0)]
        if inside:
            return max(inside, key=lambda one: one.lineno)
        if not any(one.lineno == line for one in handlers):
            return None
    return None


def broad(handler: ast.ExceptHandler | None) -> bool:
    """It takes every exception."""
    if handler is None:
        return False
    names = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return any((ast.unparse(one) if one is not None else "") in _BROAD for one in names)
