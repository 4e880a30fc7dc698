"""What failed: the exception that began it in each part of a request, or the death of a process."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import dataclass

from aftertrace.explain.scene.scene import Scene
from aftertrace.model import Span, StatusCode, Value, ValueKind
from aftertrace.reconstruct.execution import Frame, Step, StepKind
from aftertrace.reconstruct.raises import first_raises

_GROUPS = {"ExceptionGroup", "BaseExceptionGroup"}
_CHAIN = 20  # exceptions that were raised because of one another
DEATH = "process-death"  # trigger of a Keep


@dataclass(frozen=True, slots=True)
class Failure:
    """One part of a request that failed; ``raised`` is None where it died, or answered an error without a raise."""

    entry: str  # span with which the part begins, "" when there are no spans
    service: str
    raised: Step | None = None  # first RAISE in user code of the exception that began it
    frame: Frame | None = None
    escaped: Step | None = None  # the UNWIND with which an exception left user code
    died: bool = False

    @property
    def exception(self) -> Value | None:
        return self.raised.value if self.raised is not None else None


class Failures:
    """The parts of a request, and how each failed."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self._firsts = first_raises(scene.execution)
        self._escapes: dict[str, list[Step]] = {}
        for step in scene.execution.steps:
            if step.kind is StepKind.UNWIND:
                frame = scene.execution.frame(step)
                entry = scene.entry(step)
                caller = scene.execution.caller_at(frame, step.index) if frame is not None else None
                if frame is not None and (caller is None or scene.flow.tree.entry(caller.span_id) != entry):
                    self._escapes.setdefault(entry, []).append(step)

    def parts(self) -> list[str]:
        """Entries of the request's parts, in start order."""
        tree = self.scene.flow.tree
        found = {tree.entry(span): None for span in tree.spans}
        found |= dict.fromkeys(self._escapes)
        return list(found)

    def tops(self) -> list[str]:
        """Parts that failed and were not called by another that did, in start order."""
        failed = {entry for entry in self.parts() if self.failed(entry)}
        return [entry for entry in self.parts() if entry in failed and not self._under(entry, failed)]

    def _under(self, entry: str, failed: set[str]) -> bool:
        tree = self.scene.flow.tree
        parent = tree.upstream(entry)
        while parent is not None:
            above = tree.entry(parent.span_id)
            if above in failed:
                return True
            parent = tree.upstream(above)
        return False

    def failed(self, entry: str) -> bool:
        """An exception left its user code, it answered an error, or its process died in it."""
        span = self.scene.execution.spans.get(entry)
        return bool(self._escaped(entry)) or self.died(entry) or (span is not None and _is_error(span))

    def died(self, entry: str) -> bool:
        """Its process died while it ran: the agent said so, and the span has no end."""
        span = self.scene.execution.spans.get(entry)
        if span is None or span.end_ns:
            return False
        dead = {keep.process_uid for keep in self.scene.execution.keeps if keep.trigger == DEATH}
        return any(self.scene.execution.processes[p].uid in dead for p in self.scene.processes_of(entry))

    def _escaped(self, entry: str) -> Step | None:
        found = [step for step in self._escapes.get(entry, []) if not self._answer(step)]
        return found[-1] if found else None

    def _answer(self, step: Step) -> bool:
        """A framework's exception that means an answer of 4xx, or the end of a generator or task: no failure."""
        value = self._value(step)
        if value is None:
            return False
        name = value.type.rpartition(".")[2]
        status = next((one.scalar for key, one in value.attributes if key in {"status_code", "code"}), None)
        refused = isinstance(status, int) and 300 <= status < 500 and name.startswith("HTTP")
        return refused or name in {"GeneratorExit", "StopIteration", "StopAsyncIteration", "CancelledError"}

    def _value(self, step: Step) -> Value | None:
        first = self.first(step)
        return first.value if first is not None else None

    def of(self, entry: str) -> Failure:
        """How a part failed."""
        span = self.scene.execution.spans.get(entry)
        service = span.service if span is not None else ""
        if self.died(entry):
            return Failure(entry, service, died=True)
        escaped = self._escaped(entry)
        raised = self.first(escaped) if escaped is not None else self._handled(entry)
        raised = self.root(raised) if raised is not None else None
        frame = self.scene.execution.frame(raised) if raised is not None else None
        if not service and raised is not None:
            service = self.scene.execution.processes[raised.process].service
        return Failure(entry, service, raised, frame, escaped)

    def _handled(self, entry: str) -> Step | None:
        """The last exception of a part that answered an error although none left its user code."""
        steps = self.scene.execution.steps
        found = [steps[i] for i in self._firsts if self.scene.entry(steps[i]) == entry and not self._answer(steps[i])]
        return found[-1] if found else None

    def first(self, step: Step) -> Step | None:
        """Where the exception of a step was raised first; a task or thread may have handed it on."""
        found = self._latest(step.process, step.exception, step.index)
        while found is not None:
            before = self._latest(found.process, found.exception, found.index - 1)
            if before is None or not self._handed_on(before, found):
                break
            found = before
        return found

    def _latest(self, process: int, exception: int, until: int) -> Step | None:
        for index in reversed(self._firsts):
            step = self.scene.step(index)
            if index <= until and step.process == process and step.exception == exception:
                return step
        return None

    def _handed_on(self, before: Step, after: Step) -> bool:
        """Whether it is one exception: it left a task or thread before it was raised again in another."""
        for escaped in self._escapes.get(self.scene.entry(before), []):
            same = escaped.process == before.process and escaped.exception == before.exception
            if same and before.index < escaped.index < after.index:
                return True
        return self._went_up(before, after)

    def _went_up(self, before: Step, after: Step) -> bool:
        """Whether it ended the frame that raised it, and was raised again in one that had waited for that frame."""
        frame, outer = self.scene.execution.frame(before), self.scene.execution.frame(after)
        if frame is None or outer is None or not before.index < frame.last_step < after.index:
            return False
        ended = self.scene.step(frame.last_step)
        if ended.kind is not StepKind.UNWIND or ended.exception != before.exception:
            return False
        for _ in range(_CHAIN):
            caller = self.scene.flow.caller(frame, frame.last_step)
            if caller is None or caller.frame is outer:
                return caller is not None
            frame = caller.frame
        return False

    def root(self, raised: Step) -> Step:
        """The first raise of the exception because of which another was raised."""
        for _ in range(_CHAIN):
            reason = self._reason(raised)
            before = self._latest(raised.process, reason, raised.index - 1) if reason else None
            if before is None:
                break
            raised = before
        return raised

    def _reason(self, raised: Step) -> int:
        """Identity of what is in its group, of its cause, or of what was handled where another was raised for it."""
        if raised.value is None:
            return 0
        inside = _inside(self._fullest(raised, raised.value))
        return inside or _linked(raised.value, "__cause__") or self._translated(raised, raised.value)

    def _fullest(self, raised: Step, value: Value) -> Value:
        """A group as one of its steps captured it whole."""
        if value.type.rpartition(".")[2] not in _GROUPS:
            return value
        for step in self.scene.execution.steps:
            alike = step.process == raised.process and step.exception == raised.exception and step.value is not None
            if alike and step.value is not None and step.value.type == value.type and _inside(step.value):
                return step.value
        return value

    def _translated(self, raised: Step, value: Value) -> int:
        """Its context, where the handler itself raised; what fails in a handler fails for a reason of its own."""
        frame = self.scene.execution.frame(raised)
        text = self.scene.text_of(frame) if frame is not None else None
        statement = self.scene.statement(frame, raised.line) if frame is not None else None
        if text is None or not isinstance(statement, ast.Raise):
            return 0
        handled = any(isinstance(one, ast.ExceptHandler) for one in text.above(statement))
        return _linked(value, "__context__") if handled else 0

    def others(self, failures: Sequence[Failure]) -> list[Step]:
        """Exceptions of the request that had no part in these failures."""
        known = {(one.raised.process, one.raised.exception) for one in failures if one.raised is not None}
        known |= {(one.escaped.process, one.escaped.exception) for one in failures if one.escaped is not None}
        steps = [self.scene.step(index) for index in self._firsts]
        return [step for step in steps if (step.process, step.exception) not in known]


def _inside(exception: Value) -> int:
    """Identity of the first exception in a group; 0: there is none, or it was not captured."""
    if exception.type.rpartition(".")[2] not in _GROUPS or len(exception.items) < 2:
        return 0
    inside = [one for one in exception.items[1].items if one.kind is ValueKind.EXCEPTION and one.identity]
    return inside[0].identity if inside else 0


def _linked(exception: Value, name: str) -> int:
    """Identity of ``__cause__`` or ``__context__``."""
    return next((value.identity for key, value in exception.attributes if key == name), 0)


def _is_error(span: Span) -> bool:
    status = span.attributes.get("http.response.status_code")
    return span.status is StatusCode.ERROR or (isinstance(status, int) and status >= 500)
