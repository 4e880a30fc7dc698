"""The debugger's position in a recorded request, and its movements: forward and back, over, into and out.

A cursor never fails to move: at the first and last step it stays and says so.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from aftertrace.errors import NotFound
from aftertrace.reconstruct import breakpoints, raises
from aftertrace.reconstruct.breakpoints import Breakpoint
from aftertrace.reconstruct.execution import Binding, Execution, Frame, Gap, Step, StepKind
from aftertrace.reconstruct.expression import Result, evaluate
from aftertrace.reconstruct.flow import Border, Flow

type Reason = Literal["step", "breakpoint", "raise", "goto", "start of recording", "end of recording", "nothing there"]

_DEEPEST = 10_000  # entries of a stack


@dataclass(frozen=True, slots=True)
class Stop:
    """Where a movement ended, and why there. ``gaps`` lie between the step it came from and this one."""

    step: Step
    reason: Reason
    breakpoint: Breakpoint | None = None
    gaps: Sequence[Gap] = ()


@dataclass(frozen=True, slots=True)
class StackEntry:
    """One frame of the stack, innermost first. ``border`` is what lies between it and the entry before."""

    frame: Frame
    service: str
    line: int  # 0: unknown
    border: Border | None = None


@dataclass(frozen=True, slots=True)
class Local:
    """A name of a frame; ``changed`` since the frame's step before."""

    binding: Binding
    changed: bool


class Cursor:
    """A position in an execution. ``selected`` counts up the stack from 0, the innermost frame."""

    def __init__(self, execution: Execution, at: int | None = None) -> None:
        if not execution.steps:
            raise NotFound(
                "nothing-recorded",
                "There are no recorded steps of this request: only its spans.",
                "At level spans there are none: aftertrace run --level auto -- ...; `aftertrace show` has the spans.",
            )
        self.execution = execution
        self.flow = Flow(execution)
        self.origins = raises.Origins(execution)
        self.index = self.flow.stops[0] if at is None else at
        self.selected = 0
        self.breakpoints: list[Breakpoint] = []
        self._made = 0
        self._ends: dict[int, Step] = {}  # the last step of each process
        self._stack: tuple[int, list[StackEntry]] | None = None  # as of a step
        self._gap_steps = sorted((gap.after_step, i) for i, gap in enumerate(execution.gaps))

    @property
    def step(self) -> Step:
        return self.execution.steps[self.index]

    # -- movements

    def next(self) -> Stop:
        """Forward over calls."""
        return self._go(self.flow.next(self.index), "end of recording")

    def into_calls(self) -> Stop:
        """Forward into calls, tasks started meanwhile, and the services that they call."""
        return self._go(self.flow.step(self.index), "end of recording")

    def out(self) -> Stop:
        """Forward until the frame has ended, to its caller; out of a service to the client's answer."""
        return self._go(self.flow.out(self.index), "end of recording")

    def back(self) -> Stop:
        """Backward into calls, from their ends."""
        return self._go(self.flow.back(self.index), "start of recording")

    def back_over(self) -> Stop:
        """Backward over calls."""
        return self._go(self.flow.previous(self.index), "start of recording")

    def back_out(self) -> Stop:
        """Backward to the caller's line that called; out of a service to the client's."""
        return self._go(self.flow.call_site(self.index), "nothing there")

    def into_service(self) -> Stop:
        """Forward to the first step in the next service that is called from here on."""
        return self._go(self.flow.into(self.index), "nothing there")

    def forward(self) -> Stop:
        """To the next breakpoint, else to the last step."""
        return self._run(self.breakpoints, forward=True)

    def backward(self) -> Stop:
        """To the breakpoint before, else to the first step."""
        return self._run(self.breakpoints, forward=False)

    def run_to(self, where: str, *, forward: bool = True) -> Stop:
        """To the next stop (or the last before) at FILE:LINE or in a function; stays if none. UsageError, NotFound."""
        there = breakpoints.find(self.flow, 0, where)
        found = there.after(self.index) if forward else there.before(self.index)
        return self._go(found, "nothing there", "breakpoint", there)

    def to_raise(self, *, forward: bool = True) -> Stop:
        """To the next (or the last before) step at which an exception was raised; stays when there is none."""
        firsts = self.origins.firsts
        at = bisect_right(firsts, self.index) if forward else bisect_left(firsts, self.index) - 1
        return self._go(firsts[at] if 0 <= at < len(firsts) else None, "nothing there", "raise")

    def goto(self, index: int) -> Stop:
        """To a step by its index, which must be one."""
        return self._go(index, "nothing there", "goto")

    def goto_address(self, address: str) -> Stop:
        """To a step by its address. NotFound."""
        return self.goto(self.execution.at_address(address).index)

    def goto_start(self) -> Stop:
        return self.goto(self.flow.stops[0])

    def goto_failure(self) -> Stop:
        """To the deepest first raise of an exception that ended a service's part. NotFound: none was raised."""
        found = raises.deepest(self.execution, self.flow)
        if found is None:
            raise NotFound(
                "nothing-raised", "No exception was raised in recorded code.", "Begin at the start: --at start."
            )
        return self.goto(found)

    def goto_write(self, name: str) -> Stop:
        """To the line that wrote what a name of the selected frame holds here. NotFound: it holds nothing here."""
        frame = self.selected_frame()
        binding = self._held(name)
        if frame is None or binding is None:
            raise NotFound("no-such-name", f"{name!r} holds nothing here.", "`locals` lists the names that do.")
        own = self.execution.steps_of(frame)
        before = own[: bisect_left(own, binding.written_at)]
        stops = (i for i in reversed(before) if self.execution.steps[i].line == binding.line and self.flow.is_stop(i))
        return self.goto(next(stops, binding.written_at))

    def _go(
        self, index: int | None, otherwise: Reason, reason: Reason = "step", there: Breakpoint | None = None
    ) -> Stop:
        if index is None:
            return Stop(self.step, otherwise)
        low, high = sorted((self.index, index))
        first, last = bisect_left(self._gap_steps, (low, -1)), bisect_left(self._gap_steps, (high, -1))
        gaps = [self.execution.gaps[i] for _, i in self._gap_steps[first:last]]
        self.index = index
        self.selected = 0
        return Stop(self.step, reason, there, gaps)

    def _run(self, points: Sequence[Breakpoint], *, forward: bool) -> Stop:
        found = [(point.after(self.index) if forward else point.before(self.index), point) for point in points]
        hits = [(hit, point) for hit, point in found if hit is not None]
        if not hits:
            end = self.flow.stops[-1 if forward else 0]
            said: Reason = "end of recording" if forward else "start of recording"
            return self._go(end, said, said)
        hit, point = (min if forward else max)(hits, key=lambda pair: pair[0])
        return self._go(hit, "step", "breakpoint", point)

    def is_last_of_process(self) -> bool:
        """Whether a process's recording ends at this step in the middle of a call: it died there, or hangs."""
        if not self._ends:
            self._ends = {step.process: step for step in self.execution.steps if step.activation}
        last = self._ends.get(self.step.process)
        return last is not None and last.index == self.index and last.kind not in {StepKind.RETURN, StepKind.UNWIND}

    # -- stopping places

    def add_breakpoint(self, where: str, condition: str = "") -> Breakpoint:
        """At FILE:LINE or a function, forward and backward. UsageError, NotFound."""
        point = breakpoints.find(self.flow, self._made + 1, where, condition)
        self._made += 1
        self.breakpoints.append(point)
        return point

    def remove_breakpoint(self, number: int) -> None:
        """NotFound: there is none of that number."""
        left = [point for point in self.breakpoints if point.number != number]
        if len(left) == len(self.breakpoints):
            raise NotFound("no-such-breakpoint", f"There is no breakpoint {number}.", "`break` lists them.")
        self.breakpoints = left

    # -- the stack

    def stack(self) -> list[StackEntry]:
        """The frames that wait for each other here, innermost first, over tasks, services, queues; [] outside code."""
        if self._stack is None or self._stack[0] != self.index:
            self._stack = (self.index, self._waiting())
        return self._stack[1]

    def _waiting(self) -> list[StackEntry]:
        entries: list[StackEntry] = []
        seen: set[tuple[int, int]] = set()
        frame = self.execution.frame(self.step)
        line, border = self.step.line, None
        while frame is not None and (frame.process, frame.activation) not in seen and len(seen) < _DEEPEST:
            seen.add((frame.process, frame.activation))
            service = self.execution.processes[frame.process].service
            entries.append(StackEntry(frame, service, line, border))
            caller = self.flow.caller(frame, self.index)
            if caller is None:
                break
            entered = self.execution.entered_at(frame, self.index)
            called_at = entered.call_line if entered is not None and caller.border is None else 0
            if caller.border is not None and caller.border.kind != "task":
                line = self.execution.line_at(caller.frame, caller.step)
            else:
                line = called_at or self.execution.line_at(caller.frame, self.index)
            frame, border = caller.frame, caller.border
        return entries

    def up(self) -> bool:
        """Selects the caller; False at the outermost frame."""
        return self._select(self.selected + 1)

    def down(self) -> bool:
        """Selects the callee; False at the innermost frame."""
        return self._select(self.selected - 1)

    def _select(self, depth: int) -> bool:
        if not 0 <= depth < len(self.stack()):
            return False
        self.selected = depth
        return True

    def selected_frame(self) -> Frame | None:
        stack = self.stack()
        return stack[self.selected].frame if self.selected < len(stack) else None

    # -- values

    def locals(self) -> list[Local]:
        """The selected frame's names, in the code's order."""
        frame = self.selected_frame()
        if frame is None:
            return []
        since = self._step_before(frame)
        held = self.execution.locals_at(frame, self.index)
        return [Local(binding, binding.written_at > since) for binding in held.values()]

    def deleted(self) -> list[str]:
        """Names of the selected frame that were bound at its step before and are not any more."""
        frame = self.selected_frame()
        if frame is None:
            return []
        before = self.execution.locals_at(frame, self._step_before(frame))
        return [name for name in before if name not in self.execution.locals_at(frame, self.index)]

    def arguments(self) -> list[Local]:
        """The selected frame's arguments as they were passed. As of its first step if its beginning is lost."""
        frame = self.selected_frame()
        if frame is None:
            return []
        since = self._step_before(frame)
        found = []
        for name in frame.code.arguments:
            history = self.execution.history(frame, name)
            if history and history[0].written_at <= self.index:
                found.append(Local(history[0], history[0].written_at > since))
        return found

    def _step_before(self, frame: Frame) -> int:
        """The frame's stop before the one at which it stands here; before its first: a step before all."""
        here = self.flow.own_before(frame, self.index + 1)
        before = self.flow.own_before(frame, here) if here is not None else None
        return before if before is not None else -1

    def _held(self, name: str) -> Binding | None:
        frame = self.selected_frame()
        return self.execution.locals_at(frame, self.index).get(name) if frame is not None else None

    def history(self, name: str) -> Sequence[Binding]:
        """Every value that a name of the selected frame held, before and after this step. NotFound."""
        frame = self.selected_frame()
        found = self.execution.history(frame, name) if frame is not None else ()
        if not found:
            raise NotFound("no-such-name", f"No value of {name!r} was recorded here.", "`locals` lists the names.")
        return found

    def evaluate(self, text: str) -> Result:
        """An expression over the selected frame's values. UsageError."""
        frame = self.selected_frame()
        held = self.execution.locals_at(frame, self.index) if frame is not None else {}

        return evaluate(text, lambda name: held[name].value if name in held else None)
