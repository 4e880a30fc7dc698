"""Where a process stood when it died, for how long, with which values, and who was waiting for it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field

from aftertrace.explain.cause.failure import DEATH, Failure
from aftertrace.explain.cause.hops import Border, Link
from aftertrace.explain.cause.passing import message
from aftertrace.explain.scene import texts
from aftertrace.explain.scene.scene import Scene
from aftertrace.model import Keep, Value, ValueKind
from aftertrace.reconstruct import levels
from aftertrace.reconstruct.execution import Frame, Step, StepKind
from aftertrace.reconstruct.text import duration
from aftertrace.wire.equality import content

_ENDS = (StepKind.RETURN, StepKind.UNWIND)
_MOST = 40  # frames


@dataclass(slots=True)
class Death:
    """``links``: from the line where it stood out to who called; ``values``: what the standing frame held;
    ``doubts``: why it may have stood at another line."""

    links: list[Link]
    says: str
    values: list[tuple[str, Value]] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    doubts: list[str] = field(default_factory=list)


def explain(scene: Scene, failure: Failure) -> Death | None:
    """The death of the process of one part of the request; None when no line of it is recorded."""
    last = last_line(scene, failure.entry)
    frame = scene.execution.frame(last) if last is not None else None
    if last is None or frame is None:
        return None
    stood = _stood(scene, failure, last)
    name, value = telling(scene, frame, last)
    begun = scene.line_before(frame, last.index)
    ran = last.index if begun is None else begun
    here = Link(frame, last.line, last.index, name, value, "stood here when it died", ran=ran)
    long = f"stood here when it died, for {duration(stood)} at most" if stood else "stood here when it died"
    death = Death([here, *callers(scene, frame, last)], long, list(plain(scene, frame, last)))
    if frame.level != "lines":
        death.doubts.append(f"it stood in {frame.code.qualname}; {levels.of_call(frame)}")
    death.unknown.append(f"why {failure.service} died: a killed process leaves no word")
    return death


def last_line(scene: Scene, entry: str) -> Step | None:
    """The last line of the innermost frame of the part that has not ended."""
    for step in reversed(scene.execution.steps):
        frame = scene.execution.frame(step)
        if frame is None or scene.entry(step) != entry or step.kind in _ENDS:
            continue
        if scene.step(frame.last_step).kind in _ENDS:
            continue
        if step.kind is StepKind.LINE or not scene.flow.has_lines(frame):
            return step
    return None


def _keep(scene: Scene, failure: Failure) -> Keep | None:
    uids = {scene.execution.processes[p].uid for p in scene.processes_of(failure.entry)}
    found = [one for one in scene.execution.keeps if one.trigger == DEATH and one.process_uid in uids]
    return found[0] if found else None


def _stood(scene: Scene, failure: Failure, last: Step) -> int:
    """ns from its last step to its end, as the agent or the waiting client saw that; 0: not known."""
    above = scene.flow.tree.upstream(failure.entry)
    ends = [above.end_ns] if above is not None and above.end_ns else []
    keep = _keep(scene, failure)
    ends += [keep.time_ns] if keep is not None else []
    later = [end for end in ends if end > last.time_ns]
    return min(later) - last.time_ns if later else 0


def telling(scene: Scene, frame: Frame, last: Step) -> tuple[str, Value | None]:
    """The plain value that the line is about: one that it names, else an argument of its function."""
    held = dict(plain(scene, frame, last))
    statement = scene.statement(frame, last.line)
    named = [n.id for n in texts.own_nodes(statement) if isinstance(n, ast.Name)] if statement is not None else []
    for name in (*named, *frame.code.arguments, *held):
        if name in held:
            return name, held[name]
    return "", None


def plain(scene: Scene, frame: Frame, last: Step) -> Iterator[tuple[str, Value]]:
    """The plain values that a frame held at a step, its arguments first."""
    held = scene.execution.locals_at(frame, last.index)
    for name in sorted(held, key=lambda one: one not in frame.code.arguments):
        if content(held[name].value).kind in {ValueKind.SCALAR, ValueKind.TEMPORAL}:
            yield name, held[name].value


def callers(scene: Scene, frame: Frame, last: Step) -> Iterator[Link]:
    """The frames that waited for it, in its process and in those that had called it."""
    seen: set[tuple[int, int]] = set()
    at = last.index
    for _ in range(_MOST):
        caller = scene.flow.caller(frame, at)
        if caller is None or (caller.frame.process, caller.frame.activation) in seen:
            return
        seen.add((caller.frame.process, caller.frame.activation))
        border = None
        if caller.border is not None:
            entry = scene.flow.tree.entry(frame.span_id)
            says = message(scene, caller.border.span, entry) if caller.border.span is not None else "a task of its own"
            border = Border(caller.border.kind, says)
        frame, at = caller.frame, caller.step
        step = scene.step(scene.line_before(frame, at) or frame.first_step)
        line = scene.execution.line_at(frame, at)
        name, value = telling(scene, frame, step)
        yield Link(frame, line, step.index, name, value, "waited for it", border, step.index)
