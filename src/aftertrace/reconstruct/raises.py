"""Where exceptions began: the first raise of each, and the one that matters most."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

from aftertrace.model import Value
from aftertrace.reconstruct.execution import Execution, Step, StepKind
from aftertrace.reconstruct.flow import Flow

_IN_FLIGHT = (StepKind.RAISE, StepKind.RERAISE, StepKind.UNWIND, StepKind.THROW)
_ORDINARY = {"StopIteration", "StopAsyncIteration", "GeneratorExit"}  # how iteration ends


def first_raises(execution: Execution) -> Sequence[int]:
    """The step at which each exception was raised first, in order; its way up the stack is left out.

    Identities are addresses and are used again. A raise goes on with an exception that flies already if it is the same
    object of the same type and the frame has run nothing since; anything else is a new one.
    """
    found: list[int] = []
    flying: dict[tuple[int, int], tuple[int, str, int]] = {}  # (process, thread) -> identity, type, last step
    ran: dict[tuple[int, int], int] = {}  # frame -> its last step
    for step in execution.steps:
        thread, frame = (step.process, step.thread), (step.process, step.activation)
        if step.kind is StepKind.HANDLED:
            flying.pop(thread, None)
        elif step.kind in _IN_FLIGHT:
            identity, kind, last = flying.get(thread, (0, "", -1))
            own = step.value.type if step.value is not None else kind
            goes_on = identity == step.exception and (not kind or own == kind) and ran.get(frame, -1) < last
            if step.kind is StepKind.RAISE and not goes_on and not _ordinary(step):
                found.append(step.index)
            flying[thread] = (step.exception, own, step.index)
        if step.activation:
            ran[frame] = step.index
    return found


class Origins:
    """For each step of an exception's way the step at which it was raised first."""

    def __init__(self, execution: Execution) -> None:
        self._execution = execution
        self.firsts = first_raises(execution)
        self._by_identity: dict[tuple[int, int], list[int]] = {}
        for index in self.firsts:
            step = execution.steps[index]
            self._by_identity.setdefault((step.process, step.exception), []).append(index)

    def of(self, step: Step) -> Step | None:
        """None: where it was raised was not recorded (in library code, before the recording), or it is ordinary."""
        known = self._by_identity.get((step.process, step.exception), [])
        at = bisect_right(known, step.index)
        return self._execution.steps[known[at - 1]] if at else None

    def value(self, step: Step) -> Value | None:
        """The exception of a step, as it was raised first; else as the step itself has it."""
        first = self.of(step) if step.exception else None
        return first.value if first is not None else step.value if step.exception else None


def _ordinary(step: Step) -> bool:
    return step.value is not None and step.value.type in _ORDINARY


def deepest(execution: Execution, flow: Flow) -> int | None:
    """First raise of the exception that ended the deepest service's part of the request; the earliest of equal ones."""
    origins = Origins(execution)
    firsts = origins.firsts
    if not firsts:
        return None
    best: tuple[int, int] | None = None
    for step in execution.steps:
        if step.kind is not StepKind.UNWIND:
            continue
        frame = execution.frame(step)
        if frame is None or execution.caller_at(frame, step.index) is not None:
            continue
        first = origins.of(step)
        if first is not None:
            rank = (-flow.tree.depth(flow.tree.entry(step.span_id)), first.index)
            best = rank if best is None or rank < best else best
    return best[1] if best is not None else firsts[-1]
