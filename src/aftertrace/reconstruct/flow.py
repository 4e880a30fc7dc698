"""Which step follows which as a person sees it: over calls, into them, across tasks, threads, services and queues.

The steps of an execution are one sequence in which requests, tasks and services interleave. Here each frame gets the
caller that waited for it, also where that is another task, or another service behind a client span; moving forward
and back then walks along calls and returns.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from typing import Literal

from aftertrace.model import Span, SpanKind
from aftertrace.reconstruct.execution import Execution, Frame, Step, StepKind
from aftertrace.reconstruct.lines import Lines
from aftertrace.reconstruct.tasks import Tasks, is_coroutine
from aftertrace.reconstruct.tree import EXITS, SpanTree

type BorderKind = Literal["http", "queue", "task"]

_GENERATOR, _COROUTINE, _ITERABLE_COROUTINE, _ASYNC_GENERATOR = 0x20, 0x80, 0x100, 0x200  # co_flags (CPython, code.h)
_ENDS = (StepKind.RETURN, StepKind.UNWIND)
_STOPS = (StepKind.LINE, StepKind.RAISE, *_ENDS)
_LOOK_BACK = 10_000  # steps searched for the frame that sent a request


@dataclass(frozen=True, slots=True)
class Border:
    """What lies between a frame and its caller: a message to another service, or a task or thread of its own."""

    kind: BorderKind
    span: Span | None = None  # the client's or producer's


@dataclass(frozen=True, slots=True)
class Caller:
    """The frame that waited for another; ``step`` is its step at or before the call."""

    frame: Frame
    step: int
    border: Border | None = None


class Flow:
    """The order of movement through one execution."""

    def __init__(self, execution: Execution) -> None:
        self.execution = execution
        self.tree = SpanTree(execution.spans)
        self._callers: dict[tuple[int, int], Caller | None] = {}
        self._sources: dict[tuple[int, str], list[str]] = {}
        self._lines: dict[tuple[int, int], Lines] = {}
        self._tasks = Tasks(execution, self.tree, self.source_lines)
        self._span_starts = {s.span_id: s for s in reversed(execution.steps) if s.kind is StepKind.SPAN_START}
        self._span_ends = {s.span_id: s for s in execution.steps if s.kind is StepKind.SPAN_END}
        count = len(execution.steps)
        self._stop, self._leaves, self._enters = bytearray(count), bytearray(count), bytearray(count)
        self._with_lines = {(s.process, s.activation) for s in execution.steps if s.kind is StepKind.LINE}
        self._mark()
        self.stops: list[int] = [i for i in range(count) if self._stop[i]] or list(range(count))
        self._frame_stops: dict[tuple[int, int], list[int]] = {}
        for i in self.stops:
            step = execution.steps[i]
            self._frame_stops.setdefault((step.process, step.activation), []).append(i)

    def _mark(self) -> None:
        yielded: set[tuple[int, int]] = set()  # generators that gave a value and wait
        with_lines = self._with_lines
        for index, step in enumerate(self.execution.steps):
            key = (step.process, step.activation)
            frame = self.execution.frames.get(key)
            if frame is None:
                continue
            if step.kind is StepKind.YIELD and gives(frame, step):
                yielded.add(key)
                self._stop[index] = self._leaves[index] = 1
            elif step.kind in _ENDS:
                self._stop[index] = self._leaves[index] = 1
            elif step.kind in _STOPS:
                self._stop[index] = 1
            elif step.kind is StepKind.START:
                self._enters[index] = 1
                self._stop[index] = key not in with_lines or self._begins_unseen(frame)
            elif step.kind in {StepKind.RESUME, StepKind.THROW} and key in yielded:
                yielded.discard(key)
                self._enters[index] = 1

    def _begins_unseen(self, frame: Frame) -> bool:
        """Whether its first lines were not recorded, so that its START is the first place at which one can stop."""
        own = self.execution.steps_of(frame)
        return len(own) > 1 and self.execution.steps[own[1]].unseen

    # -- callers

    def caller(self, frame: Frame, at: int) -> Caller | None:
        """The frame that waits for this one at a step.

        A task of an event loop that user code runs was called, in the machine's sense, by the line that runs the loop;
        who waits for it is another coroutine of that loop.
        """
        own = self.execution.caller_at(frame, at)
        if own is not None and (is_coroutine(own) or not is_coroutine(frame)):
            return Caller(own, at)
        key = (frame.process, frame.activation)
        if key not in self._callers:
            waits = self._tasks.waiting.get(key)
            self._callers[key] = (
                Caller(*waits, Border("task")) if waits else None if own is not None else self._upstream(frame)
            )
        return self._callers[key] or (Caller(own, at) if own is not None else None)

    def source_lines(self, frame: Frame) -> list[str]:
        """The lines of a frame's file as it ran, [] when they were not handed over."""
        key = (frame.process, frame.code.path)
        if key not in self._sources:
            source = self.execution.sources.get(key)
            self._sources[key] = source.text.splitlines() if source else []
        return self._sources[key]

    def lines(self, frame: Frame) -> Lines:
        """What ran and was written, by line."""
        key = (frame.process, frame.activation)
        if key not in self._lines:
            self._lines[key] = Lines(self.execution, frame)
        return self._lines[key]

    def _upstream(self, frame: Frame) -> Caller | None:
        span = self.tree.upstream(frame.span_id)
        if span is None or span.kind not in EXITS:
            return None
        border = Border("queue" if span.kind is SpanKind.PRODUCER else "http", span)
        start = self._span_starts.get(span.span_id)
        if start is None:
            return None
        caller = self.execution.frame(start)
        if caller is not None:
            return Caller(caller, start.index, border)
        parent = self._span_starts.get(span.parent_id)
        for index in range(start.index - 1, parent.index if parent else max(start.index - _LOOK_BACK, 0), -1):
            step = self.execution.steps[index]
            other = self.execution.frame(step) if step.process == start.process else None
            same = other is not None and self.tree.entry(other.span_id) == self.tree.entry(span.span_id)
            if other is not None and same and other.last_step >= start.index:
                return Caller(other, index, border)
        return None

    def response(self, frame: Frame) -> int | None:
        """The step at which the client got the answer of the service whose outermost frame this is."""
        caller = self.caller(frame, frame.first_step)
        span = caller.border.span if caller is not None and caller.border is not None else None
        end = self._span_ends.get(span.span_id) if span is not None else None
        return end.index if end is not None and end.activation else None

    def has_lines(self, frame: Frame) -> bool:
        """Whether lines of it were recorded, not only calls."""
        return (frame.process, frame.activation) in self._with_lines

    def is_stop(self, index: int) -> bool:
        return bool(self._stop[index])

    # -- movement: each gives the index of a step, or None when there is none further

    def after(self, index: int) -> int | None:
        """The next stop of all."""
        at = bisect_right(self.stops, index)
        return self.stops[at] if at < len(self.stops) else None

    def before(self, index: int) -> int | None:
        at = bisect_left(self.stops, index)
        return self.stops[at - 1] if at else None

    def own_after(self, frame: Frame, index: int) -> int | None:
        """The frame's own next stop."""
        own = self._frame_stops.get((frame.process, frame.activation), [])
        at = bisect_right(own, index)
        return own[at] if at < len(own) else None

    def own_before(self, frame: Frame, index: int) -> int | None:
        own = self._frame_stops.get((frame.process, frame.activation), [])
        at = bisect_left(own, index)
        return own[at - 1] if at else None

    def next(self, index: int) -> int | None:
        """Forward over calls: the same frame's next stop, or when it ended the caller's."""
        frame = self._frame_at(index)
        own = self.own_after(frame, index) if frame else None
        if frame is None or (own is not None and not self._leaves[index]):
            return own if own is not None else self.after(index)
        seen = {(frame.process, frame.activation)}
        caller = self.caller(frame, index)
        while caller is not None and (key := (caller.frame.process, caller.frame.activation)) not in seen:
            seen.add(key)
            outer = self.own_after(caller.frame, index)
            if outer is not None:
                return outer if own is None else min(own, outer)
            caller = self.caller(caller.frame, index)
        return own if own is not None else self.after(index)

    def previous(self, index: int) -> int | None:
        """Backward over calls: the same frame's stop before, or at its beginning the caller's."""
        frame = self._frame_at(index)
        own = self.own_before(frame, index) if frame else None
        if frame is None or (own is not None and not self._entered_between(frame, own, index)):
            return own if own is not None else self.before(index)
        seen = {(frame.process, frame.activation)}
        caller = self.caller(frame, index)
        while caller is not None and (key := (caller.frame.process, caller.frame.activation)) not in seen:
            seen.add(key)
            outer = self.own_before(caller.frame, index)
            if outer is not None:
                return outer if own is None else max(own, outer)
            caller = self.caller(caller.frame, index)
        return own if own is not None else self.before(index)

    def _entered_between(self, frame: Frame, first: int, last: int) -> bool:
        own = self.execution.steps_of(frame)
        return any(self._enters[own[i]] for i in range(bisect_right(own, first), bisect_left(own, last)))

    def step(self, index: int) -> int | None:
        """Forward into calls, tasks and services."""
        frame = self._frame_at(index)
        if frame is not None and self._leaves[index]:
            frame = self._frame_of(self.caller(frame, index))
        if frame is None:
            return self.after(index)
        for i in range(index + 1, len(self.execution.steps)):
            step = self.execution.steps[i]
            here = self._is(step, frame)
            if not here and self._enters[i] and self._called_by(step, frame):
                entered = self.execution.frame(step)
                if entered is not None:
                    frame, here = entered, True
            if here and self._stop[i]:
                return i
        return self.next(index)

    def back(self, index: int) -> int | None:
        """Backward into calls, from their ends."""
        frame = self._frame_at(index)
        if frame is not None and self._enters[index]:
            frame = self._frame_of(self.caller(frame, index))
        if frame is None:
            return self.before(index)
        for i in range(index - 1, -1, -1):
            step = self.execution.steps[i]
            here = self._is(step, frame)
            if not here and self._leaves[i] and self._called_by(step, frame):
                left = self.execution.frame(step)
                if left is not None:
                    frame, here = left, True
            if here and self._stop[i]:
                return i
            if here and self._enters[i]:
                caller = self.caller(frame, i)
                if caller is None:
                    return self.before(index)
                frame = caller.frame
        return self.previous(index)

    def out(self, index: int) -> int | None:
        """Forward to the caller, once the frame has ended; at a service's end to the client's answer."""
        frame = self._frame_at(index)
        if frame is None:
            return None
        own = self.execution.steps_of(frame)
        left = next((i for i in own[bisect_left(own, index) :] if self._leaves[i]), frame.last_step)
        answered = self.response(frame) if self.execution.steps[left].kind in _ENDS else None
        if answered is not None and answered > left:
            return answered
        caller = self.caller(frame, index)
        while caller is not None:
            found = self.own_after(caller.frame, left)
            if found is not None:
                return found
            outer = self.caller(caller.frame, left)
            caller = None if outer is not None and outer.frame is caller.frame else outer
        return None

    def call_site(self, index: int) -> int | None:
        """Backward to the line of the caller that called, resumed or sent for the frame at a step."""
        frame = self._frame_at(index)
        caller = self.caller(frame, index) if frame is not None else None
        if frame is None or caller is None:
            return None
        entered = self.execution.entered_at(frame, index)
        began = frame.first_step if is_coroutine(frame) or entered is None else entered.step
        across = caller.border is not None and caller.border.kind != "task"
        site = self.own_before(caller.frame, caller.step + 1 if across else began)
        return site if site is not None else self.own_before(caller.frame, index)

    def into(self, index: int) -> int | None:
        """The first stop in the next service that is called from here on by this one, or by what it calls."""
        here = self.execution.steps[index]
        for step in self.execution.steps[index + 1 :]:
            if step.kind is not StepKind.START or step.process == here.process:
                continue
            frame = self.execution.frame(step)
            caller = self.caller(frame, step.index) if frame is not None else None
            if frame is None or caller is None or caller.border is None:
                continue
            if caller.frame.process == here.process:
                return self.own_after(frame, step.index - 1)
        return None

    # -- helpers

    def _frame_at(self, index: int) -> Frame | None:
        return self.execution.frame(self.execution.steps[index])

    @staticmethod
    def _frame_of(caller: Caller | None) -> Frame | None:
        return caller.frame if caller is not None else None

    @staticmethod
    def _is(step: Step, frame: Frame) -> bool:
        return step.activation == frame.activation and step.process == frame.process

    def _called_by(self, step: Step, frame: Frame) -> bool:
        entered = self.execution.frame(step)
        return entered is not None and self._frame_of(self.caller(entered, step.index)) is frame


def gives(frame: Frame, step: Step) -> bool:
    """Whether a YIELD hands a value to whoever iterates; an await that suspends a coroutine does not."""
    if frame.code.flags & _ASYNC_GENERATOR:
        return step.value is not None and step.value.type.endswith("async_generator_wrapped_value")
    return bool(frame.code.flags & _GENERATOR) and not frame.code.flags & (_COROUTINE | _ITERABLE_COROUTINE)
