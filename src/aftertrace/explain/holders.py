"""Who held what a request waited for: other requests of the same process that had passed the very line at which it
stood, and had not given back yet what they took there: a lock, a connection of a pool.

A hold lasts from the step after that line until its `with` block is left, or, where the line belongs to a context
manager made of a generator, until that is run on. That it was the same thing shows in time: one of them gave it back as
the wait ended.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from aftertrace.explain import repeats
from aftertrace.explain.company import Company
from aftertrace.explain.intervals import Intervals
from aftertrace.explain.scene import GENERATOR, Scene
from aftertrace.reconstruct.execution import Frame, StepKind

LEAST = 0.5  # of the wait
_AT_ONCE, _SOON_NS = 0.1, 50_000_000  # of the wait, or ns: as late as a busy machine may run on who waited
_MOST_HOLDS = 200


@dataclass(frozen=True, slots=True)
class Hold:
    """``frame`` and ``line``: the `with` block for which it was taken; ns."""

    scene: Scene
    frame: Frame
    line: int
    step: int
    start_ns: int
    end_ns: int


@dataclass(slots=True)
class Holders:
    """The holds at one line, of those that kept the wait up."""

    holds: list[Hold] = field(default_factory=list)
    held_ns: int = 0  # of the wait, while one of them held it
    waited_ns: int = 0

    @property
    def first(self) -> Hold:
        return max(self.holds, key=lambda one: one.end_ns - one.start_ns)

    @property
    def requests(self) -> int:
        return len({one.scene.execution.trace_id for one in self.holds})

    def to_json(self) -> dict[str, Any]:
        traces = dict.fromkeys(one.scene.execution.trace_id for one in self.holds)
        longest = max(one.end_ns - one.start_ns for one in self.holds)
        return {"traces": list(traces), "held_ns": self.held_ns, "waited_ns": self.waited_ns, "longest_ns": longest}


def find(scene: Scene, frame: Frame, line: int, step: int, company: Company) -> Holders | None:
    """None: nobody is known to have held it for half of the wait."""
    visit = next((one for one in _visits(scene, frame, line) if one[1] >= step), None)
    if visit is None:
        return None
    start, end = (scene.step(index).time_ns for index in visit)
    by_line: dict[tuple[str, int], Holders] = {}
    for hold in _holds(scene, frame, line, company):
        if min(hold.end_ns, end) > max(hold.start_ns, start) and hold.start_ns < end:
            key = (hold.frame.code.path, hold.line)
            by_line.setdefault(key, Holders(waited_ns=end - start)).holds.append(hold)
    for one in by_line.values():
        one.held_ns = Intervals((hold.start_ns, hold.end_ns) for hold in one.holds).within(start, end)
    best = max(by_line.values(), key=lambda one: one.held_ns, default=None)
    if best is None or best.held_ns < LEAST * (end - start):
        return None
    soon = max(_SOON_NS, int(_AT_ONCE * (end - start)))
    return best if any(abs(end - one.end_ns) <= soon for one in best.holds) else None


def _visits(scene: Scene, frame: Frame, line: int) -> Iterator[tuple[int, int]]:
    """Each time that a line ran: its step, and the frame's next one."""
    own = scene.execution.steps_of(frame)
    for place, index in enumerate(own[:-1]):
        step = scene.step(index)
        if step.kind is StepKind.LINE and step.line == line:
            yield index, own[place + 1]


def _holds(scene: Scene, frame: Frame, line: int, company: Company) -> Iterator[Hold]:
    uid, wanted = scene.execution.processes[frame.process].uid, repeats.place(scene, frame, line)
    found = 0
    for other in company.neighbours():
        for one in other.execution.frames.values():
            if other.execution.processes[one.process].uid != uid or repeats.place(other, one, line) != wanted:
                continue
            for _, after in _visits(other, one, line):
                hold = _hold(other, one, line, after)
                found += 1
                if hold is not None and found <= _MOST_HOLDS:
                    yield hold


def _hold(scene: Scene, frame: Frame, line: int, after: int) -> Hold | None:
    """``after``: the step at which it had been got."""
    got = scene.step(after)
    if got.kind is StepKind.RAISE:
        return None
    if frame.code.flags & GENERATOR:
        caller = scene.execution.caller_at(frame, frame.first_step)
        if caller is None:
            return None
        left = _left_generator(scene, frame, after)
        at = scene.execution.line_at(caller, frame.first_step)
        ran = scene.line_before(caller, frame.first_step)
        return Hold(scene, caller, at, frame.first_step if ran is None else ran, got.time_ns, left)
    statement = scene.statement(frame, line)
    if not isinstance(statement, ast.With | ast.AsyncWith):
        return None
    return Hold(scene, frame, line, after, got.time_ns, _left_block(scene, frame, statement, after))


def _left_generator(scene: Scene, frame: Frame, after: int) -> int:
    """When it ran on behind its `yield`."""
    given = False
    for index in scene.steps_between(frame, after, len(scene.execution.steps)):
        step = scene.step(index)
        if given and step.kind is not StepKind.YIELD:
            return step.time_ns
        given = given or step.kind is StepKind.YIELD
    return scene.step(frame.last_step).time_ns


def _left_block(scene: Scene, frame: Frame, block: ast.With | ast.AsyncWith, after: int) -> int:
    """When a line behind it ran: leaving it runs the line of the `with` again."""
    last = block.body[-1].end_lineno or block.lineno
    for index in scene.steps_between(frame, after, len(scene.execution.steps)):
        step = scene.step(index)
        if step.kind is StepKind.LINE and not block.body[0].lineno <= step.line <= last:
            return step.time_ns
    return scene.step(frame.last_step).time_ns


def busiest(hold: Hold) -> tuple[int, str, int] | None:
    """(line, function, ns): what the holder's own frame called meanwhile that took longest."""
    frames = [
        one
        for one in hold.scene.children(hold.frame, hold.step, hold.frame.last_step)
        if hold.scene.step(one.first_step).time_ns >= hold.start_ns
    ]
    took: dict[tuple[int, str], int] = {}
    for one in frames:
        entered = hold.scene.execution.entered_at(one, one.first_step)
        until = min(hold.scene.step(one.last_step).time_ns, hold.end_ns)
        key = (entered.call_line if entered is not None else 0, one.code.name)
        took[key] = took.get(key, 0) + max(until - hold.scene.step(one.first_step).time_ns, 0)
    best = max(took, key=lambda key: took[key], default=None)
    return (*best, took[best]) if best is not None and took[best] else None
