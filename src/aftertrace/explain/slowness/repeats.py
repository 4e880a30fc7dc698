"""Work that one line of a request made again and again: which line, how often, and how much of the path it made.

A round is one call that a line of a frame made: of a recorded function, or of a store or service directly. The line to
name is not the one that runs the query, but the innermost one that ran many times while its frame was called once.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

from aftertrace.explain.scene import texts
from aftertrace.explain.scene.scene import Scene
from aftertrace.explain.slowness.intervals import Intervals
from aftertrace.explain.slowness.path import Kind, Path, Row, describe
from aftertrace.model import Span
from aftertrace.reconstruct import text
from aftertrace.reconstruct.execution import Frame, StepKind
from aftertrace.reconstruct.tree import ENTRIES

LEAST_ROUNDS = 3
_NESTED = 0.8  # of a line's time that is one line's further in
_ONE = 0.5  # of a line's time in one round: that one was slow, unless the others are most of all that is left
_MOST_DEEP = 1000
_MOST_COMPARED = 2000  # rounds whose arguments are looked at
_ENDS = (StepKind.RETURN, StepKind.UNWIND)

type Key = tuple[int, int, int]  # process, activation, line


class Place(NamedTuple):
    """A line of code, in whichever process of a service."""

    service: str
    path: str
    function: str
    line: int


@dataclass(frozen=True, slots=True)
class Round:
    """One call from a line, ns; ``step`` is the index at which it began."""

    start_ns: int
    end_ns: int
    step: int
    frame: Frame | None = None  # that was called
    span: Span | None = None  # where the line's own frame made it


@dataclass(slots=True)
class Loop:
    """The rounds of one line in one call of its function, in order; ``path_ns``: of the critical path."""

    frame: Frame
    line: int
    rounds: list[Round]
    path_ns: int = 0
    rows: list[Row] = field(default_factory=list)  # what the rounds' part of the path was, most first

    @property
    def count(self) -> int:
        return len(self.rounds)

    @property
    def each_ns(self) -> int:
        return sum(one.end_ns - one.start_ns for one in self.rounds) // len(self.rounds)

    @property
    def longest_ns(self) -> int:
        return max(one.end_ns - one.start_ns for one in self.rounds)

    @property
    def uneven(self) -> bool:
        """Whether one of the rounds took as long as all others."""
        return self.longest_ns >= _ONE * self.times.total

    @property
    def times(self) -> Intervals:
        return Intervals((one.start_ns, one.end_ns) for one in self.rounds)

    @property
    def sequential(self) -> bool:
        """No round began before the one before it had ended."""
        return all(one.end_ns <= other.start_ns for one, other in pairwise(self.rounds))

    @property
    def function(self) -> str:
        """The function that the rounds called, "" where they called none that is recorded, or several."""
        names = {one.frame.code.qualname if one.frame else "" for one in self.rounds}
        return names.pop() if len(names) == 1 else ""


class Parts:
    """The critical path below each part of the request."""

    def __init__(self, scene: Scene, path: Path) -> None:
        tree, pairs = scene.flow.tree, dict[str, list[tuple[int, int]]]()
        above: dict[str, tuple[str, ...]] = {}
        self.path = path
        self.spans = scene.execution.spans
        self.segments = [(one, _above(scene, one.span, above)) for one in path.segments]
        for one, entries in self.segments:
            for entry in entries:
                pairs.setdefault(entry, []).append((one.start_ns, one.end_ns))
        self._tree = tree
        self._below = {entry: Intervals(found) for entry, found in pairs.items()}

    def below(self, frame: Frame) -> Intervals:
        """Of the part that a frame belongs to."""
        return self._below.get(self._tree.entry(frame.span_id), Intervals())

    def rows(self, frame: Frame, times: Intervals) -> list[Row]:
        """What the path was, below a frame's part and within some times."""
        entry, found = self._tree.entry(frame.span_id), dict[tuple[str, Kind, str], Row]()
        for one, entries in self.segments:
            common = times.within(one.start_ns, one.end_ns) if entry in entries else 0
            if common:
                key = (one.span.service, one.kind, one.what)
                row = found.setdefault(key, Row(*key))
                row.total_ns += common
                row.spans[one.span.span_id] = row.spans.get(one.span.span_id, 0) + common
        return sorted(found.values(), key=lambda row: -row.total_ns)


def _above(scene: Scene, span: Span, known: dict[str, tuple[str, ...]]) -> tuple[str, ...]:
    """The entries of the parts that a span lies in or below."""
    tree = scene.flow.tree
    first = entry = tree.entry(span.span_id)
    if first not in known:
        found = dict[str, None]()
        while entry and entry not in found:
            found[entry] = None
            upstream = tree.upstream(entry)
            entry = tree.entry(upstream.span_id) if upstream is not None else ""
        known[first] = tuple(found)
    return known[first]


def rounds(scene: Scene, until_ns: int = 0) -> dict[Key, list[Round]]:
    """Of each line that made calls, in order. ``until_ns``: what has not ended lasted until then."""
    execution, found = scene.execution, dict[Key, list[Round]]()
    for frame in execution.frames.values():
        if frame.first_step < 0 or not frame.complete:
            continue
        first, last = scene.step(frame.first_step), scene.step(frame.last_step)
        entered = execution.entered_at(frame, frame.first_step)
        if entered is None or not entered.parent or not entered.call_line:
            continue
        end = max(until_ns, last.time_ns) if runs_on(scene, frame) else last.time_ns
        key = (frame.process, entered.parent, entered.call_line)
        found.setdefault(key, []).append(Round(first.time_ns, end, first.index, frame))
    for step in execution.steps:
        if step.kind is StepKind.SPAN_START and step.activation and step.line:
            span = execution.spans.get(step.span_id)
            if span is not None and span.kind not in ENTRIES:
                end = span.end_ns or max(until_ns, span.start_ns)
                key = (step.process, step.activation, step.line)
                found.setdefault(key, []).append(Round(span.start_ns, end, step.index, None, span))
    for one in found.values():
        one.sort(key=lambda each: each.step)
    return found


def runs_on(scene: Scene, frame: Frame) -> bool:
    """Whether a frame had not ended when its request was kept; one whose end was lost, or of whose end only the span
    tells, did."""
    if scene.step(frame.last_step).kind in _ENDS:
        return False
    part = scene.execution.spans.get(scene.flow.tree.entry(frame.span_id))
    return part is not None and not part.end_ns


def loops(scene: Scene, parts: Parts) -> list[Loop]:
    """The lines that made at least three calls on the path, most of it first."""
    found: list[Loop] = []
    for (process, activation, line), own in rounds(scene, parts.path.end_ns).items():
        frame = scene.execution.frames.get((process, activation))
        if frame is None or len(own) < LEAST_ROUNDS:
            continue
        loop = Loop(frame, line, own)
        times = loop.times
        loop.path_ns = times.common(parts.below(frame))
        others, rest = loop.path_ns - loop.longest_ns, parts.path.duration_ns - loop.longest_ns
        if loop.path_ns and (not loop.uneven or others >= _ONE * rest):
            found.append(loop)
    return sorted(found, key=lambda one: (-one.path_ns, one.frame.process, one.frame.first_step, one.line))


def chief(scene: Scene, parts: Parts) -> Loop | None:
    """The one that made most of the path; of those within each other that made about as much, the innermost."""
    found = loops(scene, parts)
    best = inner = found[0] if found else None
    while inner is not None:
        best = inner
        least = _NESTED * best.path_ns
        inner = next((one for one in found if one.path_ns >= least and _inside(scene, one, best)), None)
    if best is not None:
        best.rows = parts.rows(best.frame, best.times)
    return best


def _inside(scene: Scene, inner: Loop, outer: Loop) -> bool:
    """Whether a loop ran within a round of another."""
    frame, execution = inner.frame, scene.execution
    if frame.process != outer.frame.process or frame is outer.frame:
        return False
    for _ in range(_MOST_DEEP):
        entered = execution.entered_at(frame, frame.first_step) if frame.first_step >= 0 else None
        above = execution.frames.get((frame.process, entered.parent)) if entered and entered.parent else None
        if entered is None or above is None or above is frame:
            return False
        if above is outer.frame:
            return entered.call_line == outer.line
        frame = above
    return False


def place(scene: Scene, frame: Frame, line: int) -> Place:
    return Place(scene.execution.processes[frame.process].service, frame.code.path, frame.code.qualname, line)


def at(scene: Scene, wanted: Place) -> list[Loop]:
    """What the same line did in another request, once for each call of its function that got to it."""
    frames, found = scene.execution.frames, list[Loop]()
    for (process, activation, line), own in rounds(scene).items():
        frame = frames.get((process, activation))
        if line == wanted.line and frame is not None and place(scene, frame, line) == wanted:
            found.append(Loop(frame, line, own))
    return found


def ran(scene: Scene, wanted: Place) -> bool:
    """Whether a request called the function of a line."""
    return any(place(scene, one, wanted.line) == wanted for one in scene.execution.frames.values())


def site(scene: Scene, row: Row) -> tuple[Frame, int, int] | None:
    """Where in user code the first span of a row was made: frame, line, step."""
    for step in scene.execution.steps:
        if step.kind is StepKind.SPAN_START and step.span_id in row.spans:
            frame = scene.execution.frame(step)
            if frame is not None:
                return frame, step.line, step.index
    return None


def different(scene: Scene, loop: Loop) -> int:
    """How many of the rounds had arguments of their own, 0 where none are recorded."""
    names = set(_names(scene.statement(loop.frame, loop.line)))
    seen = {shown for one in loop.rounds[:_MOST_COMPARED] if (shown := _given(scene, loop.frame, one, names))}
    return len(seen)


def _names(statement: ast.stmt | None) -> Iterator[str]:
    """The names that a line gives to what it calls, or else all that it reads; not what it adds to."""
    if statement is None:
        return
    called: list[ast.AST] = [one for one in texts.own_nodes(statement) if isinstance(one, ast.Call)]
    added = statement.target if isinstance(statement, ast.AugAssign) else None
    for node in called or [one for one in ast.iter_child_nodes(statement) if one is not added]:
        yield from (one.id for one in ast.walk(node) if isinstance(one, ast.Name))


def _given(scene: Scene, frame: Frame, one: Round, names: Iterable[str]) -> tuple[str, ...]:
    held = scene.execution.locals_at(frame, one.step)
    told = [f"{name}={text.of(held[name].value, 200)}" for name in sorted(names) if name in held]
    if one.frame is not None:
        own = scene.execution.locals_at(one.frame, one.frame.first_step)
        told += [f"{name}:{text.of(own[name].value, 200)}" for name in one.frame.code.arguments if name in own]
    return tuple(told)


def usual(scenes: Iterable[Scene], row: Row) -> Iterator[tuple[int, int]]:
    """(how often, ns in all) the same statement or call was made in each of other requests that made it."""
    for scene in scenes:
        spans = [
            one for one in scene.execution.spans.values()
            if one.end_ns and one.service == row.service and describe(scene.flow.tree, one) == (row.kind, row.what)
        ]  # fmt: skip
        if spans:
            yield len(spans), sum(one.end_ns - one.start_ns for one in spans)
