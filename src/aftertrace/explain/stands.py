"""Where a service's own time went, by lines: how long its code stood at, or ran through, which of them.

Lines carry no times of their own; calls, returns, raises, spans and suspensions do. The time between two of these is
that of the lines which ran in between: of one line where there was one, else of them together.
"""

from __future__ import annotations

import ast
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from aftertrace.explain import texts
from aftertrace.explain.intervals import Intervals
from aftertrace.explain.path import Kind
from aftertrace.explain.repeats import Parts, runs_on
from aftertrace.explain.scene import COROUTINE, Point, Scene
from aftertrace.model import Value
from aftertrace.reconstruct.execution import Frame, Step, StepKind
from aftertrace.wire.equality import content

_LEAVES = (StepKind.RETURN, StepKind.UNWIND, StepKind.YIELD)
_MOST_NAMED = 8  # lines of one stand
_CALLED = {  # by the name that a line calls
    "lock": {"acquire", "flock", "lockf"},
    "sleep": {"sleep"},
    "pool": {"getconn", "get_connection", "checkout"},
    "wait": {"wait", "wait_for", "join", "result", "recv", "select", "poll", "communicate", "urlopen"},
}
_LOCK_TYPES = ("lock", "Lock", "RLock", "Condition", "Semaphore", "BoundedSemaphore")


@dataclass(slots=True)
class Stand:
    """Time of some lines of a function. ``suspended``: a coroutine waited; ``longest_ns``: at a time, from ``step``."""

    frame: Frame
    lines: tuple[int, ...]
    suspended: bool
    step: int
    total_ns: int = 0
    longest_ns: int = 0
    count: int = 0
    ran: dict[int, int] = field(default_factory=dict)  # line -> how often
    times: list[tuple[int, int]] = field(default_factory=list)

    @property
    def line(self) -> int:
        """The one that ran most often; of those that ran as often the last."""
        return max(self.ran, key=lambda one: (self.ran[one], one), default=0)


@dataclass(slots=True)
class _Run:
    """What a thread did since its last stamp."""

    since: Step | None = None
    frame: Frame | None = None
    lines: list[int] = field(default_factory=list)
    suspended: bool = False
    step: int = -1


def stands(scene: Scene, parts: Parts) -> list[Stand]:
    """The longest first, of what is on the critical path and is the services' own."""
    own = {
        entry: Intervals((one.start_ns, one.end_ns) for one, _ in parts.segments
                         if one.kind is Kind.CODE and scene.flow.tree.entry(one.span.span_id) == entry)
        for entry in {scene.flow.tree.entry(one.span.span_id) for one, _ in parts.segments}
    }  # fmt: skip
    found: dict[tuple[int, int, tuple[int, ...], bool], Stand] = {}
    for run, start, end in _runs(scene, parts.path.end_ns):
        if run.frame is None or run.since is None or not run.lines:
            continue
        times = own.get(scene.flow.tree.entry(run.frame.span_id))
        length = times.within(start, end) if times is not None else 0
        if length <= 0:
            continue
        lines = tuple(sorted(set(run.lines)))[:_MOST_NAMED]
        key = (run.frame.process, run.frame.code.id, lines, run.suspended)
        stand = found.setdefault(key, Stand(run.frame, lines, run.suspended, run.step))
        stand.times.append((start, end))
        stand.count += 1
        for line in run.lines:
            stand.ran[line] = stand.ran.get(line, 0) + 1
        if length > stand.longest_ns:
            stand.longest_ns, stand.frame, stand.step = length, run.frame, run.step
    for stand in found.values():  # threads stand at one line at once
        stand.total_ns = Intervals(stand.times).common(own[scene.flow.tree.entry(stand.frame.span_id)])
    return sorted(found.values(), key=lambda one: -one.total_ns)


def _runs(scene: Scene, until_ns: int) -> Iterator[tuple[_Run, int, int]]:
    """Each time between two stamps of a thread, with the lines that ran in it."""
    threads: dict[tuple[int, int, str], _Run] = {}
    for step in scene.execution.steps:
        key = (step.process, step.thread, scene.entry(step))
        run = threads.setdefault(key, _Run())
        frame = scene.execution.frame(step)
        if step.kind is StepKind.LINE:
            if frame is not None:
                if run.frame is not frame or run.suspended:
                    run.frame, run.lines, run.suspended = frame, [], False
                run.step = step.index if not run.lines else run.step
                run.lines.append(step.line)
            continue
        if step.kind is StepKind.YIELD and run.suspended:
            continue  # the frames around the one that waits
        if run.since is not None:
            yield run, run.since.time_ns, step.time_ns
        threads[key] = _next(scene, step, frame)
    for run in threads.values():
        if run.since is not None and run.frame is not None and runs_on(scene, run.frame):
            yield run, run.since.time_ns, until_ns


def _next(scene: Scene, step: Step, frame: Frame | None) -> _Run:
    """Where a thread stands after a stamp: in the frame itself, in its caller once it has ended, or waiting."""
    if frame is None:
        return _Run(step)
    if step.kind is StepKind.YIELD and frame.code.flags & COROUTINE:
        return _Run(step, frame, [step.line] if step.line else [], suspended=True, step=step.index)
    if step.kind in _LEAVES:
        caller = scene.execution.caller_at(frame, step.index)
        line = scene.execution.line_at(caller, step.index) if caller is not None else 0
        return _Run(step, caller, [line] if line else [], step=step.index)
    if step.kind is StepKind.START and frame.level == "lines":
        return _Run(step, frame)
    return _Run(step, frame, [step.line] if step.line else [], step=step.index)


def span_of(lines: Sequence[int]) -> str:
    """``20-23``, ``20``"""
    return f"{lines[0]}-{lines[-1]}" if len(lines) > 1 else f"{lines[0]}"


# -- what a line waits for


def likeliest(scene: Scene, stand: Stand) -> tuple[int, bool]:
    """The line of a stand that took its time, and whether that is certain: it was the only one, or the only one that
    calls what is not recorded."""
    if len(stand.ran) == 1:
        return stand.line, True
    waiting = [one for one in stand.lines if waits(scene, stand.frame, one, stand.step, suspended=stand.suspended)]
    if len(waiting) == 1:
        return waiting[0], False
    return stand.line, False


def waits(scene: Scene, frame: Frame, line: int, step: int, *, suspended: bool = False) -> str:
    """``lock``, ``sleep``, ``pool``, ``wait`` by what a line calls, "" where it does not look like waiting."""
    statement = scene.statement(frame, line)
    otherwise = "wait" if suspended else ""
    if statement is None:
        return otherwise
    for item in statement.items if isinstance(statement, ast.With | ast.AsyncWith) else []:
        if _is_lock(scene, frame, step, item.context_expr):
            return "lock"
    called = [one for one in texts.own_nodes(statement) if isinstance(one, ast.Call)]
    if any(_is_queue(scene, frame, step, one) for one in called):
        return "wait"
    names = {texts.called(one) for one in called}
    found = (kind for kind, known in _CALLED.items() if names & known)
    return next(found, otherwise)


def _is_queue(scene: Scene, frame: Frame, step: int, call: ast.Call) -> bool:
    """``get`` of a queue: by its type, or since it is told how long to wait, and of nothing else."""
    if texts.called(call) != "get" or not isinstance(call.func, ast.Attribute):
        return False
    held = _evaluated(scene, frame, step, call.func.value)
    if held is not None and held.type.rpartition(".")[2].endswith("Queue"):
        return True
    if held is not None or call.args or not call.keywords:
        return False
    return all(one.arg in {"timeout", "block"} for one in call.keywords)


def _evaluated(scene: Scene, frame: Frame, step: int, node: ast.expr) -> Value | None:
    own = scene.execution.steps_of(frame)
    at = bisect_left(own, step) + 1
    return scene.evaluate(Point(frame, node, step, own[at] if at < len(own) else step), node)


def _is_lock(scene: Scene, frame: Frame, step: int, node: ast.expr) -> bool:
    held = _evaluated(scene, frame, step, node)
    if held is not None:
        return content(held).type.rpartition(".")[2] in _LOCK_TYPES
    return "lock" in ast.unparse(node).lower()
