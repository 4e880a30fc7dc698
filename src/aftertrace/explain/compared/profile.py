"""What one request did, as a set of facts that can be counted over many: calls, lines, branches, values, exceptions,
statements. A fact that holds on some visit of its place holds."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from aftertrace.explain.compared.contexts import Contexts
from aftertrace.explain.compared.digest import digest, traits
from aftertrace.explain.scene.likeness import parts, shown
from aftertrace.explain.scene.scene import Scene
from aftertrace.model import Value, ValueKind
from aftertrace.reconstruct.execution import Frame, Step, StepKind
from aftertrace.reconstruct.raises import Origins

type Kind = Literal["call", "branch", "line", "value", "raised", "handled", "statement"]  # values: see `held`

_VISITS = 64  # of a place whose values are kept, and the last one
_PARTS = 24  # of an object or dict
_DEEP = 2
_LONGEST_STATEMENT = 2000
RESULT = "return"  # the name under which a function's result stands


class Place(NamedTuple):
    """Where a value was: what the line wrote; ``line`` 0 at the call's end; its result has the name ``return``."""

    context: int
    line: int
    name: str


class Fact(NamedTuple):
    """``what`` by kind. branch: (line before, line); line: line; value: (place, trait, digest); raised, handled: (line,
    type); statement: (service, text)."""

    kind: Kind
    context: int  # -1: none
    what: Hashable


@dataclass(slots=True)
class Profile:
    """``first``: the step at which each fact was true first. Values are told apart only where they are asked for."""

    scene: Scene
    first: dict[Fact, int] = field(default_factory=dict)
    values: dict[Place, list[tuple[int, Value]]] = field(default_factory=dict)
    lined: dict[int, bool] = field(default_factory=dict)  # contexts that ran -> all of their lines are recorded
    counts: dict[Fact, int] = field(default_factory=dict)  # of calls and statements
    shed: set[tuple[str, str]] = field(default_factory=set)  # (service, qualname) whose calls were left out
    cut: int = 0  # visits whose values were not looked at

    def applies(self, fact: Fact, contexts: Contexts) -> bool:
        """Whether the recording says if a fact is true."""
        match fact.kind:
            case "line":
                return self.lined.get(fact.context, False)
            case "branch":
                before = fact.what[0] if isinstance(fact.what, tuple) else 0
                ran = not before or Fact("line", fact.context, before) in self.first
                return ran and self.lined.get(fact.context, False)
            case "call":
                context = contexts.found[fact.context]
                left_out = (context.function.service, context.function.qualname) in self.shed
                return not left_out and (context.caller < 0 or context.caller in self.lined)
            case "raised" | "handled":
                return fact.context in self.lined
            case _:
                return True


def profile(scene: Scene, contexts: Contexts) -> Profile:
    """In one pass over the steps."""
    found = Profile(scene)
    execution = scene.execution
    ways = contexts.of(scene)
    for key, frame in execution.frames.items():
        way = ways[key]
        found.lined[way] = found.lined.get(way, True) and frame.level == "lines" and frame.complete
    found.shed = {(execution.processes[one.process].service, one.function) for one in execution.shed if one.function}
    before: dict[tuple[int, int], int] = {}
    first = found.first
    origins = Origins(execution)
    raises = set(origins.firsts)
    for step in execution.steps:
        if not step.activation:
            continue
        key = (step.process, step.activation)
        way = ways.get(key, -1)
        last = before.get(key, 0)
        if step.writes:
            _write(found, way, execution.frames[key], step, last)
        if step.kind is StepKind.LINE:
            first.setdefault(Fact("line", way, step.line), step.index)
            first.setdefault(Fact("branch", way, (last, step.line)), step.index)
            before[key] = step.line
        elif step.kind is StepKind.START:
            call = Fact("call", way, None)
            first.setdefault(call, step.index)
            found.counts[call] = found.counts.get(call, 0) + 1
        elif step.kind is not StepKind.RAISE or step.index in raises:
            _other(found, way, execution.frames[key], step, origins)
    _statements(found)
    return found


def _write(found: Profile, way: int, frame: Frame, step: Step, last: int) -> None:
    """At START arguments stand under the line of the def; without lines all names stand at the end."""
    lined = found.lined.get(way, False)
    line = frame.code.first_line if step.kind is StepKind.START else last if lined else 0
    for write in step.writes:
        if write.value.kind is not ValueKind.UNBOUND:
            _keep(found, Place(way, line, write.name), step.index, write.value)


def _other(found: Profile, way: int, frame: Frame, step: Step, origins: Origins) -> None:
    kind = ""
    if step.kind in {StepKind.RAISE, StepKind.HANDLED} and (raised := origins.value(step)) is not None:
        kind = raised.type
    if step.kind is StepKind.RETURN and step.value is not None:
        _keep(found, Place(way, 0, RESULT), step.index, step.value)
    elif step.kind is StepKind.RAISE and kind:
        found.first.setdefault(Fact("raised", way, (step.line, kind)), step.index)
    elif step.kind is StepKind.HANDLED:
        found.first.setdefault(Fact("handled", way, (step.line, kind)), step.index)
    if step.kind is StepKind.RETURN and found.lined.get(way, False):
        _ends(found, way, frame, step.index)


def _ends(found: Profile, way: int, frame: Frame, index: int) -> None:
    """What its names held as it returned: what a request of which there are no lines can be compared with."""
    if found.counts.get(Fact("call", way, None), 0) > _VISITS:
        return
    for name, binding in found.scene.execution.locals_at(frame, index).items():
        _keep(found, Place(way, 0, name), index, binding.value)


def _keep(found: Profile, place: Place, index: int, value: Value) -> None:
    kept = found.values.setdefault(place, [])
    if len(kept) > _VISITS:
        kept[-1] = (index, value)
        found.cut += 1
    else:
        kept.append((index, value))


def _statements(found: Profile) -> None:
    """Database statements and messages to other services, from spans: their place is not a line."""
    starts = {step.span_id: step.index for step in found.scene.execution.steps if step.kind is StepKind.SPAN_START}
    for span in found.scene.execution.spans.values():
        text = span.attributes.get("db.query.text") or span.attributes.get("db.statement")
        if not isinstance(text, str):
            continue
        fact = Fact("statement", -1, (span.service, " ".join(text[:_LONGEST_STATEMENT].split())))
        found.first.setdefault(fact, starts.get(span.span_id, len(found.scene.execution.steps)))
        found.counts[fact] = found.counts.get(fact, 0) + 1


# -- values as facts


class Held(NamedTuple):
    """A value, or a part of one, at a place; the name says which part."""

    place: Place
    step: int
    value: Value


def held(found: Profile, place: Place) -> Iterator[Held]:
    """Each value of a place, and what is in it."""
    for index, value in found.values.get(place, ()):
        for name, inner in inside(place.name, value):
            yield Held(Place(place.context, place.line, name), index, inner)


def inside(name: str, value: Value, depth: int = _DEEP) -> Iterator[tuple[str, Value]]:
    """The value under its name, then what is in it under theirs: ``order``, ``order.total``."""
    yield name, value
    if depth == 0 or value.kind not in {ValueKind.OBJECT, ValueKind.MAPPING, ValueKind.SUBCLASS}:
        return
    for number, (key, inner) in enumerate(parts(value)):
        if number >= _PARTS:
            return
        if key.attribute or isinstance(key.name, str):
            yield from inside(name + shown((key,)), inner, depth - 1)


def says_of(value: Value) -> list[tuple[str, Hashable]]:
    """(trait, what) of a value, ``is`` for the value itself where it is known."""
    own = digest(value)
    return [*([("is", own)] if own is not None else []), *traits(value)]
