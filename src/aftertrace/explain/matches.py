"""What a query found in a request, as plain data: where, and the values that made it hold."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from aftertrace.explain.judging import telling
from aftertrace.explain.spansets import Hit, Key
from aftertrace.explain.subjects import AtStep, Call, Unknown
from aftertrace.explain.world import World
from aftertrace.model import SpanKind, StatusCode, Value
from aftertrace.reconstruct import text
from aftertrace.reconstruct.execution import Frame, Step
from aftertrace.traceql.checks import kind_of
from aftertrace.traceql.tree import Field, Kind, Scope
from aftertrace.wire import values

MOST = 5  # of one request that are told; the others are counted


@dataclass(frozen=True, slots=True)
class Place:
    """One match: a span, a call, or what steps of one call have in common; ``times``: how often it came about there."""

    hit: Hit
    times: int
    first: int  # step


def places(world: World, found: dict[Key, Hit]) -> list[Place]:
    """In the order of the request: steps of one call are one place, each run of them counted once."""
    calls: dict[tuple[int, int], list[int]] = {}
    told: dict[int, Hit] = {}
    whole: list[Place] = []
    for key, hit in found.items():
        if key[0] == "step" and isinstance(hit.subject, AtStep):
            calls.setdefault((hit.subject.step.process, hit.subject.step.activation), []).append(key[1])
            told[key[1]] = hit
        else:
            whole.append(Place(hit, 1, _first_step(hit)))
    for (process, activation), steps in calls.items():
        steps.sort()
        own = world.execution.steps_of(world.execution.frames[process, activation])
        whole.append(Place(told[steps[0]], _runs(own, set(steps)), steps[0]))
    return sorted(whole, key=lambda one: one.first)


def _runs(own: Any, steps: set[int]) -> int:
    """How many runs of neighbours among a frame's own steps are in a set."""
    runs, within = 0, False
    for index in own:
        runs += index in steps and not within
        within = index in steps
    return runs


def _first_step(hit: Hit) -> int:
    """Of a call where it begins, or, where it is about what it gave, ends; of a span where it began."""
    if isinstance(hit.subject, Call):
        frame = hit.subject.frame
        returned = any(field.scope is Scope.RETURN for field in telling(hit.condition, hit.subject))
        return frame.last_step if returned else frame.first_step
    return -1


def to_json(world: World, place: Place) -> dict[str, Any]:
    """``step`` and ``address`` None: it is a span; ``path`` "" then."""
    subject = place.hit.subject
    frame = subject.frame if isinstance(subject, Call) else None
    step = world.execution.steps[place.first] if place.first >= 0 else None
    span = subject.span
    return {
        "kind": "span" if frame is None else "step" if isinstance(subject, AtStep) else "call",
        "service": world.execution.processes[frame.process].service if frame else span.service if span else "",
        "span": span.name if span else "",
        "span_id": span.span_id if span else "",
        "function": frame.code.qualname if frame else "",
        "path": frame.code.path if frame else "",
        "line": step.line if step and frame else 0,
        "source": _source(world, frame, step) if frame and step else "",
        "step": step.index if step else None,
        "address": step.address if step else None,
        "time_ns": step.time_ns if step else span.start_ns if span else 0,
        "times": place.times,
        "values": list(_values(place.hit)),
    }


def _source(world: World, frame: Frame, step: Step) -> str:
    source = world.execution.sources.get((frame.process, frame.code.path))
    lines = source.text.split("\n", step.line) if source is not None and step.line > 0 else []
    return lines[step.line - 1].strip() if len(lines) >= step.line > 0 else ""


def _values(hit: Hit) -> Iterator[dict[str, Any]]:
    """Each field once."""
    seen: set[str] = set()
    for field in telling(hit.condition, hit.subject):
        if field.text in seen or field.scope is Scope.LINE:
            continue
        seen.add(field.text)
        told = hit.subject.told(field)
        if isinstance(told, Value):
            yield {"name": field.text, "text": _shown(field, told), "type": told.type, "value": values.to_json(told)}
        else:
            yield {"name": field.text, "text": _absent(told), "type": "", "value": None}


def _absent(told: Unknown | None) -> str:
    return f"<{told.reason}>" if told is not None else "<none>"


def _shown(field: Field, value: Value) -> str:
    number = value.scalar
    if isinstance(number, int) and field.scope is Scope.INTRINSIC and field.name in {"status", "kind"}:
        return (StatusCode(number) if field.name == "status" else SpanKind(number)).name.lower()
    if isinstance(number, int) and kind_of(field) is Kind.DURATION:
        return text.duration(number)
    return text.of(value, 120)
