"""What a query is judged on: spans, calls, steps, and places where something was not recorded; and what each tells of a
field: its value, that there is none, or that it is not known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from aftertrace.explain.world import World
from aftertrace.model import Attributes, AttributeValue, Resource, Span, SpanEvent, Value, ValueKind
from aftertrace.reconstruct import comparison, levels, operators
from aftertrace.reconstruct.breakpoints import fits
from aftertrace.reconstruct.execution import Frame, Step, StepKind
from aftertrace.traceql.tree import Field, Keys, Scope

_ENDS = (StepKind.START, StepKind.RETURN, StepKind.UNWIND)  # at which values are recorded without lines, too


@dataclass(frozen=True, slots=True)
class Unknown:
    """``there``: something is, whatever it may be."""

    reason: str
    there: bool = False


type Told = Value | Unknown | None  # None: there is no such thing


def value_of(attribute: AttributeValue) -> Value:
    """An attribute as a value."""
    match attribute:
        case list():
            return Value(ValueKind.SEQUENCE, "list", items=tuple(map(value_of, attribute)), size=len(attribute))
        case dict():
            entries = tuple((operators.make(key), value_of(one)) for key, one in attribute.items())
            return Value(ValueKind.MAPPING, "dict", entries=entries, size=len(entries))
        case _:
            return operators.make(attribute)


def inside(value: Value, keys: Keys) -> Told:
    """What lies at the end of a way into a value."""
    try:
        for key in keys:
            value = _part(value, key)
    except operators.NotCaptured as missing:
        return Unknown(str(missing))
    except operators.Refused:
        return None
    return value


def _part(value: Value, key: str | int) -> Value:
    """A name is a key of a dict, else an attribute. NotCaptured, Refused."""
    if isinstance(key, int):
        return comparison.item(value, operators.make(key))
    held = operators.content(value) if value.kind is ValueKind.SUBCLASS else value
    if held.kind is not ValueKind.MAPPING:
        return operators.attribute(value, key)
    try:
        return comparison.item(held, operators.make(key))
    except operators.Refused:
        if value is held:
            raise
        return operators.attribute(value, key)


class Subject:
    """A span, or nothing but a resource."""

    def __init__(self, world: World, span: Span | None, resource: Resource | None) -> None:
        self.world = world
        self.span = span
        self._resource = resource

    def told(self, field: Field) -> Told:
        """What it tells of a field other than ``line``."""
        found = _TELLERS[field.scope](self, field)
        if found is not None:
            self.world.met.add(field.text)
        return found

    def at_line(self, path: str, line: int) -> bool | Unknown:  # noqa: ARG002
        """Whether it is at a line of a file (any end of its path)."""
        return False

    # -- what it tells of each scope

    def _lost_span(self) -> Told:
        return None

    def intrinsic(self, field: Field) -> Told:
        if field.name.startswith("trace:"):
            return self._of_trace(field)
        span = self.span
        if span is None:
            return self._lost_span()
        match field.name:
            case "name":
                return operators.make(span.name)
            case "kind":
                return operators.make(int(span.kind))
            case "status":
                return operators.make(int(span.status)) if span.end_ns else _RUNS
            case "statusMessage":
                return operators.make(span.status_message)
            case "duration":
                return operators.make(span.end_ns - span.start_ns) if span.end_ns else _RUNS
            case "span:id":
                return operators.make(span.span_id)
            case _:
                return operators.make(span.parent_id)

    def _of_trace(self, field: Field) -> Told:
        found = self.world.of_trace(field.name)
        return found if found is not None else Unknown("not all of its spans had ended, or arrived", there=True)

    def of_span(self, field: Field) -> Told:
        span = self.span
        if span is None:
            return self._lost_span()
        if field.name in span.attributes:
            return value_of(span.attributes[field.name])
        return None if span.end_ns else _RUNS

    def of_resource(self, field: Field) -> Told:
        resource = self._resource
        return _attribute(resource.attributes, field.name) if resource is not None else None

    def of_any(self, field: Field) -> Told:
        found = self.of_span(field)
        return found if found is not None else self.of_resource(field)

    def of_call(self, field: Field) -> Told:  # noqa: ARG002
        return None

    def of_arg(self, field: Field) -> Told:  # noqa: ARG002
        return None

    def of_return(self, field: Field) -> Told:  # noqa: ARG002
        return None

    def of_local(self, field: Field) -> Told:  # noqa: ARG002
        return None

    def of_exception(self, field: Field) -> Told:  # noqa: ARG002
        return None


_RUNS = Unknown("its span had not ended")


def _attribute(attributes: Attributes, name: str) -> Told:
    return value_of(attributes[name]) if name in attributes else None


_TELLERS: dict[Scope, Callable[[Subject, Field], Told]] = {
    Scope.INTRINSIC: lambda one, field: one.intrinsic(field),
    Scope.SPAN: lambda one, field: one.of_span(field),
    Scope.RESOURCE: lambda one, field: one.of_resource(field),
    Scope.ANY: lambda one, field: one.of_any(field),
    Scope.CALL: lambda one, field: one.of_call(field),
    Scope.ARG: lambda one, field: one.of_arg(field),
    Scope.RETURN: lambda one, field: one.of_return(field),
    Scope.LOCAL: lambda one, field: one.of_local(field),
    Scope.EXCEPTION: lambda one, field: one.of_exception(field),
}


class Call(Subject):
    """A call, with the span in which it began."""

    def __init__(self, world: World, frame: Frame, span_id: str) -> None:
        resource = world.execution.processes[frame.process].resource
        super().__init__(world, world.execution.spans.get(span_id), resource)
        self.frame = frame
        self._span_id = span_id

    def _lost_span(self) -> Told:
        return Unknown("its span did not arrive") if self._span_id else None

    def of_call(self, field: Field) -> Told:
        code, frame = self.frame.code, self.frame
        match field.name:
            case "function":
                return operators.make(code.qualname)
            case "file":
                return operators.make(code.path)
        steps = self.world.execution.steps
        if not frame.complete or frame.first_step < 0 or steps[frame.last_step].kind not in _ENDS[1:]:
            return Unknown("its beginning or its end was not recorded", there=True)
        return operators.make(steps[frame.last_step].time_ns - steps[frame.first_step].time_ns)

    def of_arg(self, field: Field) -> Told:
        frame = self.frame
        if field.name not in frame.code.arguments:
            return None
        if not frame.complete:
            return Unknown("the call began before the recording", there=True)
        held = self.world.held(frame, field.name, frame.first_step)
        return inside(held.value, field.keys) if held is not None else Unknown("it was not recorded", there=True)

    def of_return(self, field: Field) -> Told:
        last = self.world.execution.steps[self.frame.last_step] if self.frame.last_step >= 0 else None
        if last is None or last.kind not in _ENDS[1:]:
            return Unknown("the call's end was not recorded")
        if last.kind is StepKind.UNWIND:
            return None
        return inside(last.value, field.keys) if last.value is not None else Unknown("it was not recorded", there=True)


class AtStep(Call):
    """A step of a call, with the span in which it lies."""

    def __init__(self, world: World, frame: Frame, step: Step) -> None:
        super().__init__(world, frame, step.span_id or frame.span_id)
        self.step = step

    def at_line(self, path: str, line: int) -> bool | Unknown:
        return self.step.line == line and fits(self.frame.code.path, path)

    def of_local(self, field: Field) -> Told:
        frame, step = self.frame, self.step
        if field.name not in frame.code.names:
            return None
        held = self.world.held(frame, field.name, step.index)
        exact = step.kind in _ENDS or (frame.level == "lines" and frame.complete)
        if held is None:
            return None if exact else Unknown(_unseen(frame))
        if not exact and (frame.level == "calls" or held.written_at < self.world.last_unseen(frame, step.index)):
            return Unknown(_unseen(frame))
        return inside(held.value, field.keys) if held.value.kind is not ValueKind.UNBOUND else None

    def of_exception(self, field: Field) -> Told:
        if self.step.index not in self.world.raises:
            return None
        value = self.step.value
        return _of_exception(value, field) if value is not None else Unknown("it was not recorded", there=True)


def _unseen(frame: Frame) -> str:
    return levels.of_call(frame) or "it was set before the recording"


def _of_exception(value: Value, field: Field) -> Told:
    if field.keys or field.name not in {"type", "message"}:
        return inside(value, (field.name, *field.keys))
    if field.name == "type":
        return operators.make(value.type) if value.type else Unknown("it was not recorded", there=True)
    if value.kind is not ValueKind.EXCEPTION:
        return Unknown("it was not recorded", there=True)
    if len(value.items) == 1 and value.missing is None:
        return value.items[0]
    return operators.make("") if not value.items and value.missing is None else Unknown("it is made of several values")


class Unseen(Call):
    """Whatever steps of a call were not recorded. ``raised``: it may have been a raise."""

    def __init__(self, world: World, frame: Frame, *, raised: bool) -> None:
        super().__init__(world, frame, frame.span_id)
        self._raised = raised

    def at_line(self, path: str, line: int) -> bool | Unknown:
        code = self.frame.code
        return Unknown(_unseen(self.frame)) if fits(code.path, path) and line in self.world.lines(code) else False

    def of_local(self, field: Field) -> Told:
        return Unknown(_unseen(self.frame)) if field.name in self.frame.code.names else None

    def of_exception(self, field: Field) -> Told:  # noqa: ARG002
        return Unknown(_unseen(self.frame)) if self._raised else None


class Event(Subject):
    """An exception as a span tells it, of a service whose calls are not recorded."""

    def __init__(self, world: World, span: Span, event: SpanEvent) -> None:
        super().__init__(world, span, span.resource)
        self.event = event

    def at_line(self, path: str, line: int) -> bool | Unknown:  # noqa: ARG002
        return self._not_recorded()

    def _not_recorded(self) -> Unknown:
        return Unknown(f"`{self.span.service if self.span else ''}` is not recorded")

    def of_call(self, field: Field) -> Told:  # noqa: ARG002
        return self._not_recorded()

    of_arg = of_return = of_local = of_call

    def of_exception(self, field: Field) -> Told:
        return _attribute(self.event.attributes, f"exception.{field.name}") if not field.keys else None


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of something that was not recorded; "" and None: not that."""

    resource: Resource | None = None
    service: str = ""  # where no more of its resource is known
    function: str = ""
    path: str = ""


class Hole(Subject):
    """Something of which it is not known whether it happened. ``of_spans``: spans, too, may be missing there."""

    def __init__(self, world: World, reason: str, known: Known, *, of_spans: bool = False) -> None:
        super().__init__(world, None, known.resource)
        self.reason = reason
        self.of_spans = of_spans
        self._known = known
        self._unknown = Unknown(reason)

    def told(self, field: Field) -> Told:
        """Nothing of it counts as met."""
        return _TELLERS[field.scope](self, field)

    def at_line(self, path: str, line: int) -> bool | Unknown:  # noqa: ARG002
        return self._unknown if not self._known.path or fits(self._known.path, path) else False

    def intrinsic(self, field: Field) -> Told:
        return self._of_trace(field) if field.name.startswith("trace:") else self._unknown

    def of_resource(self, field: Field) -> Told:
        if self._known.resource is not None:
            return _attribute(self._known.resource.attributes, field.name)
        if self._known.service and field.name == "service.name":
            return operators.make(self._known.service)
        return self._unknown

    def of_call(self, field: Field) -> Told:
        if field.name == "function" and self._known.function:
            return operators.make(self._known.function)
        if field.name == "file" and self._known.path:
            return operators.make(self._known.path)
        return self._unknown

    def of_span(self, field: Field) -> Told:  # noqa: ARG002
        return self._unknown

    of_any = of_arg = of_return = of_local = of_exception = of_span
