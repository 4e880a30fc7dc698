"""A query on one request: what it finds, what may be it for all that was recorded, and where more of it may have been.

Spans, calls and steps lie in one order: a call lies under its caller and the step at which it was called, the outermost
call of a span under the span, a span under its parent and the call and step in which it began.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Literal

from aftertrace.explain import holes
from aftertrace.explain.judging import judge
from aftertrace.explain.subjects import AtStep, Call, Event, Subject, Unknown, Unseen
from aftertrace.explain.world import World
from aftertrace.reconstruct.execution import Frame, StepKind
from aftertrace.traceql.tree import (
    Below,
    Both,
    Condition,
    Either,
    Filter,
    Level,
    Query,
    Scope,
    Spansets,
    comparisons,
    fields,
)

type Key = tuple[Literal["span"], str] | tuple[Literal["call"], int, int] | tuple[Literal["step"], int]


@dataclass(frozen=True, slots=True)
class Hit:
    """A subject of which a condition holds."""

    subject: Subject
    condition: Condition | None


@dataclass(slots=True)
class Found:
    """``yes``: in order; ``unsure``: what may be it, with the reason; ``holes``: reasons why there may be more."""

    yes: dict[Key, Hit] = field(default_factory=dict)
    unsure: dict[Key, str] = field(default_factory=dict)
    holes: list[str] = field(default_factory=list)

    def doubts(self) -> list[str]:
        """Each once."""
        return list(dict.fromkeys([*self.unsure.values(), *self.holes]))

    def possible(self) -> bool:
        return bool(self.yes or self.unsure or self.holes)


def ask(query: Query, world: World) -> Found:
    """All of a query on one request."""
    return _Asking(world).found(query.root)


class _Asking:
    def __init__(self, world: World) -> None:
        self._world = world
        self._holes = holes.of(world)
        self._order = Order(world)

    def found(self, node: Spansets) -> Found:
        match node:
            case Filter():
                return self._filter(node)
            case Below(left, right, directly):
                return self._below(self.found(left), self.found(right), directly=directly)
            case Both(parts):
                return _both([self.found(part) for part in parts])
            case Either(parts):
                return _either([self.found(part) for part in parts])

    # -- one pair of braces

    def _filter(self, node: Filter) -> Found:
        found = Found()
        condition = node.condition
        if node.level is Level.SPAN:
            for span in self._world.execution.spans.values():
                self._put(found, ("span", span.span_id), condition, Subject(self._world, span, span.resource))
        else:
            for frame in self._world.execution.frames.values():
                self._in_call(found, node, frame)
            if node.level is Level.STEP:
                self._events(found, condition)
        for hole in self._holes:
            if (hole.of_spans or node.level is not Level.SPAN) and judge(condition, hole) is not False:
                found.holes.append(hole.reason)
        return found

    def _put(self, found: Found, key: Key, condition: Condition | None, subject: Subject) -> None:
        verdict = judge(condition, subject)
        if isinstance(verdict, Unknown):
            found.unsure[key] = verdict.reason
        elif verdict:
            found.yes[key] = Hit(subject, condition)

    def _in_call(self, found: Found, node: Filter, frame: Frame) -> None:
        key: Key = ("call", frame.process, frame.activation)
        if frame.first_step < 0:
            return
        if node.level is Level.CALL:
            self._put(found, key, node.condition, Call(self._world, frame, frame.span_id))
            return
        if judge(node.condition, Unseen(self._world, frame, raised=True)) is False:
            return  # no step of it can be meant
        steps = self._world.execution.steps
        before = len(found.yes)
        for index in self._world.execution.steps_of(frame):
            self._put(found, ("step", index), node.condition, AtStep(self._world, frame, steps[index]))
        if len(found.yes) == before and frame.level != "lines":
            verdict = judge(node.condition, Unseen(self._world, frame, raised=False))
            if isinstance(verdict, Unknown):
                found.unsure[key] = verdict.reason

    def _events(self, found: Found, condition: Condition | None) -> None:
        """Exceptions of services whose calls are not recorded: their spans tell them."""
        asked = {one.scope for each in comparisons(condition) for one in fields(each)}
        if Scope.EXCEPTION not in asked:
            return
        recorded = {process.service for process in self._world.execution.processes}
        for span in self._world.execution.spans.values():
            if span.service not in recorded:
                for event in span.events:
                    if event.name == "exception":
                        self._put(found, ("span", span.span_id), condition, Event(self._world, span, event))

    # -- how they lie to each other

    def _below(self, upper: Found, lower: Found, *, directly: bool) -> Found:
        above: Callable[[Key], Iterator[Key]] = self._order.parents if directly else self._order.ancestors
        found = Found()
        for key, hit in lower.yes.items():
            reason = _over(above(key), upper)
            if reason is None:
                found.yes[key] = hit
            elif reason:
                found.unsure[key] = reason
        for key, own in lower.unsure.items():
            reason = _over(above(key), upper)
            if reason != "":
                found.unsure[key] = reason or own
        if upper.possible():
            found.holes = list(lower.holes)
        return found


def _over(above: Iterator[Key], upper: Found) -> str | None:
    """None: one of them is; "": none is; else why that is not known."""
    doubt = ""
    for one in above:
        if one in upper.yes:
            return None
        doubt = doubt or upper.unsure.get(one, "")
    return doubt or (upper.holes[0] if upper.holes else "")


def _both(parts: list[Found]) -> Found:
    if not all(part.possible() for part in parts):
        return Found()
    together = _either(parts)
    if all(part.yes for part in parts):
        return together
    doubts = [doubt for part in parts if not part.yes for doubt in part.doubts()]
    return Found(holes=doubts)


def _either(parts: list[Found]) -> Found:
    found = Found()
    for part in parts:
        found.yes = part.yes | found.yes
        found.unsure |= part.unsure
        found.holes += part.holes
    return found


class Order:
    """What lies directly over something, and all that lies over it."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._began: dict[str, int] = {}  # span -> the step at which it began, within a call
        for step in world.execution.steps:
            if step.kind is StepKind.SPAN_START and step.activation:
                self._began.setdefault(step.span_id, step.index)

    def parents(self, key: Key) -> Iterator[Key]:
        execution = self._world.execution
        match key:
            case ("span", str(span_id)):
                parent = self._world.tree.parent(span_id)
                if parent is not None:
                    yield ("span", parent.span_id)
                if span_id in self._began:
                    step = execution.steps[self._began[span_id]]
                    frame = execution.frame(step)
                    if frame is not None:
                        yield from self._at(frame, step.index)
            case ("call", int(process), int(activation)):
                yield from self._over_call(execution.frames[process, activation])
            case ("step", int(index)):
                step = execution.steps[index]
                frame = execution.frame(step)
                yield ("call", step.process, step.activation)
                if step.span_id in execution.spans and (frame is None or frame.span_id != step.span_id):
                    yield ("span", step.span_id)

    def _over_call(self, frame: Frame) -> Iterator[Key]:
        caller = self._world.execution.caller_at(frame, frame.first_step)
        if caller is not None:
            yield from self._at(caller, frame.first_step)
        if frame.span_id in self._world.execution.spans and (caller is None or caller.span_id != frame.span_id):
            yield ("span", frame.span_id)

    def _at(self, frame: Frame, step: int) -> Iterator[Key]:
        yield ("call", frame.process, frame.activation)
        line = self._world.line_before(frame, step)
        if line is not None:
            yield ("step", line)

    def ancestors(self, key: Key) -> Iterator[Key]:
        seen: set[Key] = {key}
        waiting = [key]
        while waiting:
            for one in self.parents(waiting.pop()):
                if one not in seen:
                    seen.add(one)
                    waiting.append(one)
                    yield one
