"""What a handler left behind: the names that it set, what it returned, and where that landed in its callers."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from aftertrace.explain.cause.handled import Handled
from aftertrace.explain.cause.hops import Link
from aftertrace.explain.scene.scene import Scene
from aftertrace.reconstruct.execution import Frame, StepKind

_MOST = 6  # lines of a handler that are shown


def landed(scene: Scene, one: Handled) -> Iterator[Link]:
    """The line that took the exception, then what its body left."""
    line = one.handler.lineno if one.handler is not None else one.handled.line
    yield Link(one.by, line, one.handled.index, "", None, "swallowed here", ran=one.handled.index)
    if one.handler is None:
        return
    left = list(_left(scene, one, one.handler))[:_MOST]
    yield from left
    names = {link.name for link in left if link.name}
    done = scene.step(one.by.last_step)
    if done.kind is not StepKind.RETURN or done.value is None or not names & _returned(scene, one.by, done.line):
        return
    caller = scene.flow.caller(one.by, done.index)
    if caller is None or caller.border is not None:
        return
    after = scene.steps_between(caller.frame, done.index, len(scene.execution.steps))
    taken = scene.step(after[0]) if after else None
    at = scene.execution.line_at(caller.frame, done.index)
    writes = [write for write in taken.writes if write.value == done.value] if taken is not None else []
    if taken is not None and writes:
        yield Link(caller.frame, at, taken.index, writes[0].name, writes[0].value, "passed on", ran=taken.index)


def _left(scene: Scene, one: Handled, handler: ast.ExceptHandler) -> Iterator[Link]:
    """Each line of the body that gave a name a value, returned, or went on without one."""
    first, last = handler.body[0].lineno, handler.end_lineno or 0
    own = scene.steps_between(one.by, one.handled.index, len(scene.execution.steps))
    for place, index in enumerate(own):
        step = scene.step(index)
        if step.kind is not StepKind.LINE:
            continue
        if not first <= step.line <= last:
            if step.line != handler.lineno:
                return
            continue
        statement = scene.statement(one.by, step.line)
        after = scene.step(own[place + 1]) if place + 1 < len(own) else None
        if isinstance(statement, ast.Return) and after is not None and after.kind is StepKind.RETURN:
            yield Link(one.by, step.line, after.index, "", after.value, "returned in its place", ran=index)
            return
        if isinstance(statement, ast.Continue | ast.Break | ast.Pass):
            yield Link(one.by, step.line, index, "", None, "went on without it", ran=index)
        elif isinstance(statement, ast.Assign | ast.AnnAssign) and after is not None:
            for write in after.writes:
                if write.name in _targets(statement):
                    yield Link(one.by, step.line, after.index, write.name, write.value, "left in its place", ran=index)


def _targets(statement: ast.Assign | ast.AnnAssign) -> set[str]:
    targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
    return {node.id for target in targets for node in ast.walk(target) if isinstance(node, ast.Name)}


def _returned(scene: Scene, frame: Frame, line: int) -> set[str]:
    """Names in the value of the `return` on a line."""
    statement = scene.statement(frame, line)
    if not isinstance(statement, ast.Return) or statement.value is None:
        return set()
    return {node.id for node in ast.walk(statement.value) if isinstance(node, ast.Name)}
