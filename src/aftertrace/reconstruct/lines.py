"""A frame's lines: when each ran first, and what it wrote when. Made once for a frame, asked at every stop."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from operator import attrgetter

from aftertrace.reconstruct.execution import Binding, Execution, Frame, StepKind

_written_at = attrgetter("written_at")


class Lines:
    """What ran and what was written, by line number."""

    def __init__(self, execution: Execution, frame: Frame) -> None:
        self._first: dict[int, int] = {}
        self._writes: dict[int, dict[str, list[Binding]]] = {}
        for index in execution.steps_of(frame):
            step = execution.steps[index]
            if step.kind is StepKind.LINE:
                self._first.setdefault(step.line, index)
        for name in frame.code.names:
            for binding in execution.history(frame, name):
                self._writes.setdefault(binding.line, {}).setdefault(name, []).append(binding)

    def ran(self, line: int, by: int) -> bool:
        """Whether a line had run, or was about to, at a step."""
        return self._first.get(line, by + 1) <= by

    def wrote(self, line: int, by: int) -> list[Binding]:
        """The last value of each name that a line had written by a step, in the order of writing."""
        found = (_last(bindings, by) for bindings in self._writes.get(line, {}).values())
        return sorted((one for one in found if one is not None), key=_written_at)


def _last(bindings: list[Binding], by: int) -> Binding | None:
    at = bisect_right(bindings, by, key=_written_at)
    return bindings[at - 1] if at else None


def numbers(current: int, around: int, count: int) -> Iterable[int]:
    """Line numbers around the current one, within a file of ``count`` lines."""
    return range(max(current - around, 1), min(current + around, count) + 1)
