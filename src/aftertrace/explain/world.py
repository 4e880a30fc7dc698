"""One execution, as a query asks it: values by name, lines of code, first raises, what the trace as a whole is."""

from __future__ import annotations

from bisect import bisect_right
from operator import attrgetter

from aftertrace.model import Span, Value
from aftertrace.reconstruct import operators
from aftertrace.reconstruct.execution import Binding, Code, Execution, Frame, StepKind
from aftertrace.reconstruct.raises import first_raises
from aftertrace.reconstruct.tree import SpanTree

_written_at = attrgetter("written_at")


class World:
    """What is asked for often is made once."""

    def __init__(self, execution: Execution) -> None:
        self.execution = execution
        self.tree = SpanTree(execution.spans)
        self.met: set[str] = set()  # fields, as the query writes them, of which something was told
        self.raises = frozenset(first_raises(execution))
        self._lines: dict[int, frozenset[int]] = {}
        self._unseen: dict[tuple[int, int], list[int]] = {}
        self._of_trace: dict[str, Value | None] = {}

    @property
    def root(self) -> Span | None:
        """The first span without a recorded parent."""
        return next(iter(self.tree.roots), None)

    def held(self, frame: Frame, name: str, step: int) -> Binding | None:
        """What a name held at a step."""
        history = self.execution.history(frame, name)
        at = bisect_right(history, step, key=_written_at) if history else 0
        return history[at - 1] if at else None

    def lines(self, code: Code) -> frozenset[int]:
        """The lines of a code's own."""
        found = self._lines.get(id(code))
        if found is None:
            found = self._lines[id(code)] = frozenset(code.lines.values())
        return found

    def last_unseen(self, frame: Frame, step: int) -> int:
        """The last step of a frame, up to one, before which lines of it went unrecorded; -1: none."""
        key = (frame.process, frame.activation)
        if key not in self._unseen:
            steps = self.execution.steps
            self._unseen[key] = [index for index in self.execution.steps_of(frame) if steps[index].unseen]
        found = self._unseen[key]
        at = bisect_right(found, step)
        return found[at - 1] if at else -1

    def line_before(self, frame: Frame, step: int) -> int | None:
        """The frame's last LINE, up to a step, as a step."""
        own = self.execution.steps_of(frame)
        for at in range(bisect_right(own, step) - 1, -1, -1):
            if self.execution.steps[own[at]].kind is StepKind.LINE:
                return own[at]
        return None

    def of_trace(self, name: str) -> Value | None:
        """``trace:id``, ``trace:duration`` (ns), ``trace:rootName``, ``trace:rootService``."""
        if name == "trace:id":
            return operators.make(self.execution.trace_id)
        if name == "trace:duration":
            return self._duration()
        root = self.root
        if root is None:
            return None
        return operators.make(root.name if name == "trace:rootName" else root.service)

    def _duration(self) -> Value | None:
        spans = self.execution.spans.values()
        if not spans or any(not span.end_ns for span in spans):
            return None
        return operators.make(max(span.end_ns for span in spans) - min(span.start_ns for span in spans))
