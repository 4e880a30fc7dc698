"""Where exceptions began: the first raise of each, and the one that matters most."""

from __future__ import annotations

from collections.abc import Sequence

from aftertrace.reconstruct.execution import Execution, Step, StepKind
from aftertrace.reconstruct.flow import Flow

_IN_FLIGHT = (StepKind.RAISE, StepKind.RERAISE, StepKind.UNWIND, StepKind.THROW)
_ORDINARY = {"StopIteration", "StopAsyncIteration", "GeneratorExit"}  # how iteration ends


def first_raises(execution: Execution) -> Sequence[int]:
    """The step at which each exception was raised first, in order; its way up the stack is left out.

    Identities are addresses and are used again, so an exception ends where it is handled.
    """
    found: list[int] = []
    flying: dict[tuple[int, int], int] = {}  # (process, thread) -> identity
    for step in execution.steps:
        key = (step.process, step.thread)
        if step.kind is StepKind.HANDLED:
            flying.pop(key, None)
        elif step.kind in _IN_FLIGHT:
            if step.kind is StepKind.RAISE and flying.get(key) != step.exception and not _ordinary(step):
                found.append(step.index)
            flying[key] = step.exception
    return found


def _ordinary(step: Step) -> bool:
    return step.value is not None and step.value.type in _ORDINARY


def deepest(execution: Execution, flow: Flow) -> int | None:
    """First raise of the exception that ended the deepest service's part of the request; the earliest of equal ones."""
    firsts = first_raises(execution)
    if not firsts:
        return None
    best: tuple[int, int] | None = None
    for step in execution.steps:
        if step.kind is not StepKind.UNWIND:
            continue
        frame = execution.frame(step)
        if frame is None or execution.caller_at(frame, step.index) is not None:
            continue
        first = _first_of(execution, firsts, step)
        if first is not None:
            rank = (-flow.tree.depth(flow.tree.entry(step.span_id)), first)
            best = rank if best is None or rank < best else best
    return best[1] if best is not None else firsts[-1]


def _first_of(execution: Execution, firsts: Sequence[int], end: Step) -> int | None:
    for index in reversed(firsts):
        step = execution.steps[index]
        if index < end.index and step.process == end.process and step.exception == end.exception:
            return index
    return None
