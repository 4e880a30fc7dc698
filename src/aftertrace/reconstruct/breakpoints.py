"""Breakpoints over a recording: every step that one stops at is known when it is set."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass

from aftertrace.errors import NotFound, UsageError
from aftertrace.reconstruct import levels
from aftertrace.reconstruct.execution import Code, Execution, Step, StepKind
from aftertrace.reconstruct.expression import Expression
from aftertrace.reconstruct.flow import Flow


@dataclass(frozen=True, slots=True)
class Breakpoint:
    """``where`` is ``FILE:LINE`` or a function's name; ``hits`` are step indexes in order."""

    number: int
    where: str
    condition: str
    hits: tuple[int, ...]

    def after(self, index: int) -> int | None:
        """The first hit behind a step."""
        at = bisect_right(self.hits, index)
        return self.hits[at] if at < len(self.hits) else None

    def before(self, index: int) -> int | None:
        at = bisect_left(self.hits, index)
        return self.hits[at - 1] if at else None


def find(flow: Flow, number: int, where: str, condition: str = "") -> Breakpoint:
    """Where a breakpoint stops: at a line (``FILE`` is any end of a path) or at each call of a function.

    UsageError: it cannot be read. NotFound: no code of that name was recorded, or nothing of it at that line.
    """
    where = where.strip()
    path, colon, line = where.rpartition(":")
    if colon and line.isdecimal() and path:
        hits = _line_hits(flow, path, int(line))
    elif where and not colon:
        hits = _function_hits(flow, where)
    else:
        raise UsageError("bad-breakpoint", f"{where!r} names no place.", "Write FILE:LINE or the name of a function.")
    expression = Expression(condition) if condition else None
    kept = [i for i in hits if expression is None or _holds(flow.execution, flow.execution.steps[i], expression)]
    return Breakpoint(number, where, condition, tuple(kept))


def _holds(execution: Execution, step: Step, expression: Expression) -> bool:
    frame = execution.frame(step)
    if frame is None:
        return False
    held = execution.locals_at(frame, step.index)
    return expression.holds(lambda name: held[name].value if name in held else None)


def _codes(execution: Execution) -> Iterator[tuple[int, Code]]:
    for index, process in enumerate(execution.processes):
        for code in process.codes.values():
            yield index, code


def fits(path: str, suffix: str) -> bool:
    """Whether a path ends in the whole parts of another."""
    suffix = suffix.removeprefix("./")
    return path == suffix or path.endswith("/" + suffix.lstrip("/"))


def _line_hits(flow: Flow, suffix: str, line: int) -> list[int]:
    execution = flow.execution
    wanted = {(process, code.id) for process, code in _codes(execution) if fits(code.path, suffix)}
    if not wanted:
        names = sorted({code.path.rpartition("/")[2] for _, code in _codes(execution)})
        raise NotFound("no-such-file", f"No code of a file {suffix!r} was recorded.", f"Recorded: {_some(names)}.")
    hits = []
    lines = set()
    for index in flow.stops:
        step = execution.steps[index]
        frame = execution.frame(step)
        if frame is None or (frame.process, frame.code.id) not in wanted:
            continue
        lines.add(step.line)
        if step.line == line and (step.kind is StepKind.LINE or not flow.has_lines(frame)):
            hits.append(index)
    if not hits:
        ran = sorted(lines, key=lambda known: (abs(known - line), known))[:5]
        hint = f"The nearest recorded: {', '.join(map(str, sorted(ran)))}." if ran else "Nothing of the file ran."
        unseen = _unseen(execution, wanted, line)
        raise NotFound("line-not-run", f"Line {line} of {suffix} was not run, or not recorded.", unseen or hint)
    return hits


def _unseen(execution: Execution, wanted: set[tuple[int, int]], line: int) -> str:
    """A hint where the line belongs to a call of which not all lines were recorded."""
    for frame in execution.frames.values():
        if (frame.process, frame.code.id) in wanted and line in frame.code.lines.values() and frame.level != "lines":
            return f"It is in {frame.code.qualname}; {levels.of_call(frame)}. Stop there: break {frame.code.qualname}"
    return ""


def _function_hits(flow: Flow, name: str) -> list[int]:
    execution = flow.execution
    wanted = {
        (process, code.id)
        for process, code in _codes(execution)
        if name in {code.name, code.qualname} or code.qualname.endswith("." + name)
    }
    hits = []
    for frame in execution.frames.values():
        if (frame.process, frame.code.id) in wanted and frame.first_step >= 0:
            stop = flow.own_after(frame, frame.first_step - 1)
            if stop is not None:
                hits.append(stop)
    if not hits:
        names = sorted({frame.code.qualname for frame in execution.frames.values()})
        raise NotFound("no-such-function", f"No call of {name!r} was recorded.", f"Recorded: {_some(names)}.")
    return sorted(hits)


def _some(names: list[str]) -> str:
    return ", ".join(names[:12]) + (", ..." if len(names) > 12 else "") if names else "nothing"
