"""One request beside one other: the first step at which they part, call by call and line by line."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest
from typing import Literal

from aftertrace.explain.compared.contexts import Contexts
from aftertrace.explain.compared.digest import digest
from aftertrace.explain.compared.incidental import incidental
from aftertrace.explain.compared.profile import inside
from aftertrace.explain.scene.scene import Scene
from aftertrace.model import Value, ValueKind
from aftertrace.reconstruct.execution import Frame, Step, StepKind

type Parting = Literal["branch", "rounds", "value", "raised"]


@dataclass(frozen=True, slots=True)
class Side:
    """Where one of the two stood as they parted; ``line`` the one that it went to, or that wrote the value."""

    frame: Frame
    step: Step
    line: int
    value: Value | None = None


@dataclass(frozen=True, slots=True)
class Parted:
    """``rounds``: a loop that went round more often in one of them. ``line``: the last that both ran."""

    kind: Parting
    line: int
    here: Side
    there: Side | None
    name: str = ""


def parted(contexts: Contexts, here: Scene, there: Scene, varying: set[tuple[int, str]]) -> Parted | None:
    """The n-th call by a way of one beside the n-th of the other. ``varying``: (way, name) of values that are others in
    every request. None: they never part as far as both are recorded."""
    own, other = _calls(contexts, here), _calls(contexts, there)
    best: Parted | None = None
    for way, frames in own.items():
        for a, b in zip(frames, other.get(way, ()), strict=False):
            if best is not None and a.first_step >= best.here.step.index:
                break
            found = next(_beside(here, there, a, b, {name for known, name in varying if known == way}), None)
            if found is not None and (best is None or found.here.step.index < best.here.step.index):
                best = found
    return best


def _calls(contexts: Contexts, scene: Scene) -> dict[int, list[Frame]]:
    """The calls by each way, in order."""
    found: dict[int, list[Frame]] = {}
    ways = contexts.of(scene)
    for frame in sorted(scene.execution.frames.values(), key=lambda one: one.first_step):
        if frame.first_step >= 0:
            found.setdefault(ways[frame.process, frame.activation], []).append(frame)
    return found


def _beside(here: Scene, there: Scene, a: Frame, b: Frame, varying: set[str]) -> Iterator[Parted]:
    """Where two calls part, in order. Without lines on one side they are compared by arguments and results."""
    lined = a.level == b.level == "lines"
    last = a.code.first_line
    own, other = (_told(scene, frame, lined=lined) for scene, frame in ((here, a), (there, b)))
    for one, two in zip_longest(own, other):
        if one is None:
            return  # the other went on alone: it parted at an exception, or its recording ends
        if two is None or (one.kind, one.line) != (two.kind, two.line):
            yield _branch(here, last, Side(a, one, one.line), Side(b, two, two.line) if two is not None else None)
            return
        for name, value, against in _differ(one, two):
            if name not in varying:
                yield Parted("value", last, Side(a, one, last, value), Side(b, two, last, against), name)
        last = one.line or last


def _told(scene: Scene, frame: Frame, *, lined: bool) -> list[Step]:
    kinds = {StepKind.START, StepKind.RETURN, StepKind.UNWIND, StepKind.RAISE} | ({StepKind.LINE} if lined else set())
    steps = (scene.step(index) for index in scene.execution.steps_of(frame))
    return [step for step in steps if step.kind in kinds]


def _differ(one: Step, two: Step) -> Iterator[tuple[str, Value, Value]]:
    """Names that both wrote there, with other values; the result is `return`."""
    written = {write.name: write.value for write in two.writes}
    pairs = [(write.name, write.value, written.get(write.name)) for write in one.writes]
    if one.kind is StepKind.RETURN and one.value is not None:
        pairs.append(("return", one.value, two.value))
    for name, value, against in pairs:
        if against is None or ValueKind.UNBOUND in {value.kind, against.kind}:
            continue
        others = dict(inside(name, against))
        for part, inner in reversed(list(inside(name, value))):  # a part says more than the whole
            if part in others and _unlike(inner, others[part]):
                yield part, inner, others[part]


def _unlike(one: Value, other: Value) -> bool:
    a, b = digest(one), digest(other)
    return a is not None and b is not None and a != b and not (incidental(one) and incidental(other))


def _branch(scene: Scene, line: int, here: Side, there: Side | None) -> Parted:
    if here.step.kind is StepKind.RAISE or (there is not None and there.step.kind is StepKind.RAISE):
        return Parted("raised", line, here, there)
    lines = {one.line for one in (here, there) if one is not None}
    loop = _loop(scene, here.frame, line, lines)
    return Parted("rounds" if loop else "branch", line, here, there)


def _loop(scene: Scene, frame: Frame, line: int, lines: set[int]) -> bool:
    """Whether one of the two went round again at a loop's head, and the other went on behind it."""
    text, scope = scene.text_of(frame), scene.scope(frame)
    if text is None or scope is None:
        return False
    for one in text.statements(scope, line):
        if isinstance(one, ast.For | ast.AsyncFor | ast.While):
            inside = {number for number in lines if one.body[0].lineno <= number <= (one.body[-1].end_lineno or 0)}
            return 0 < len(inside) < len(lines)
    return False
