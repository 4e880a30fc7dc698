"""Where the program itself noticed that something is wrong: a test of values, on which it asked for the request to be
kept."""

from __future__ import annotations

import ast

from aftertrace.explain import suspects
from aftertrace.explain.scene import Point, Scene
from aftertrace.explain.suspects import Site
from aftertrace.reconstruct.execution import StepKind

TRIGGER = "keep"


def site(scene: Scene) -> Site | None:
    """The line of the last ``keep()`` that ran on a condition; None where it was kept for nothing that is known."""
    if not any(one.trigger == TRIGGER and one.role == "failure" for one in scene.execution.keeps):
        return None
    for step in reversed(scene.execution.steps):
        frame = scene.execution.frame(step) if step.kind is StepKind.KEEP else None
        begun = scene.line_before(frame, step.index) if frame is not None else None
        if frame is None or begun is None:
            continue
        line = scene.step(begun).line
        statement, text = scene.statement(frame, line), scene.text_of(frame)
        if statement is not None and text is not None and suspects.tests(text, statement):
            placeholder = ast.Constant(None, lineno=line, col_offset=0)
            return Site(Point(frame, placeholder, begun, begun), statement, line, begun, answers=True)
    return None
