"""Where the program itself noticed that something is wrong: a test of values, on which it asked for the request to be
kept, and did not for any of the healthy ones that came by."""

from __future__ import annotations

import ast

from aftertrace.explain import suspects
from aftertrace.explain.company import Company
from aftertrace.explain.likewise import Spot, visits
from aftertrace.explain.scene import Point, Scene
from aftertrace.explain.suspects import Site
from aftertrace.reconstruct.execution import StepKind

TRIGGER = "keep"
_LEAST = 3  # healthy requests that called the function, and did not come to the line


def site(scene: Scene, company: Company) -> Site | None:
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
        if statement is None or text is None or not _is_rare(company, Spot.of(scene, frame, line)):
            return None
        if suspects.tests(text, statement):
            placeholder = ast.Constant(None, lineno=line, col_offset=0)
            return Site(Point(frame, placeholder, begun, begun), statement, line, begun, answers=True)
    return None


def _is_rare(company: Company, spot: Spot) -> bool:
    found = [visits(one, spot) for one in company.siblings()]
    return not any(one.ran or one.unseen for one in found) and sum(one.called for one in found) >= _LEAST
