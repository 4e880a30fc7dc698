"""Where a part of the request answered an error without an exception: the last line that ran and says that status."""

from __future__ import annotations

import ast

from aftertrace.explain import texts
from aftertrace.explain.scene import Point, Scene
from aftertrace.explain.suspects import Site
from aftertrace.model import Span
from aftertrace.reconstruct.execution import StepKind


def site(scene: Scene, entry: str) -> Site | None:
    """``response.status_code = 500``, ``return {...}, 503``: None where no such line is known."""
    span = scene.execution.spans.get(entry)
    status = _status(span) if span is not None else 0
    if status < 500:
        return None
    for step in reversed(scene.execution.steps):
        if step.kind is not StepKind.LINE or scene.entry(step) != entry:
            continue
        frame = scene.execution.frame(step)
        statement = scene.statement(frame, step.line) if frame is not None else None
        if frame is None or statement is None or not _answers(statement, status):
            continue
        begun = scene.line_before(frame, step.index)
        if begun is None:
            return None
        placeholder = ast.Constant(None, lineno=step.line, col_offset=0)
        return Site(Point(frame, placeholder, begun, begun), statement, step.line, begun, answers=True)
    return None


def _status(span: Span) -> int:
    status = span.attributes.get("http.response.status_code")
    return status if isinstance(status, int) else 0


def _answers(statement: ast.stmt, status: int) -> bool:
    match statement:
        case ast.Assign(targets=[ast.Attribute(attr="status_code" | "status")], value=ast.Constant(value=said)):
            return said == status
        case ast.Return(value=ast.Tuple(elts=[_, ast.Constant(value=said), *_])):
            return said == status
        case ast.Return(value=ast.Call() as call) | ast.Expr(value=ast.Call() as call):
            given = [*call.args, *(one.value for one in call.keywords if one.arg in {"status_code", "status"})]
            return any(isinstance(one, ast.Constant) and one.value == status for one in given) and bool(
                texts.called(call)
            )
        case _:
            return False
