"""A coroutine or generator that was made and never run, where the program took it for what it would have given.

That it was made, on what line it was tested, and that nothing ran it follows from the recording: no frame of it began,
and no line that ran used its name for anything but a test. It is true whatever it would have answered.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, replace

from aftertrace.explain.cause import suspects
from aftertrace.explain.cause.blame import Verdict
from aftertrace.explain.cause.hops import End, Kind, Link, Origin
from aftertrace.explain.cause.origin import Tracer
from aftertrace.explain.cause.suspects import Site
from aftertrace.explain.scene.scene import Point, Scene
from aftertrace.explain.scene.texts import Text
from aftertrace.model import Value, ValueKind
from aftertrace.reconstruct.execution import Binding, Frame, StepKind

_KINDS = {"coroutine": "awaited", "async_generator": "iterated", "generator": "iterated"}  # type -> what was not done
_MOST_FRAMES = 2000  # looked into
_CALLERS = 200


def reconsider(tracer: Tracer, where: Site, verdict: Verdict) -> None:
    """Before what is only likely stands what was never run: verified where the failing line itself, or the test that
    led to it, took it for a value, likely where another branch was taken on it before, by what called it."""
    scene = tracer.scene
    if verdict.status == "verified":
        return
    failed = _failed_on(tracer, where)
    if failed is not None:
        _take(verdict, failed, "likely" if failed.doubts else "verified", list(failed.doubts))
        return
    tested = min(_tested(scene, where), key=lambda one: one.rank, default=None)
    if tested is not None:
        end = End(Kind.COMPUTED, f"{_says(tested.value)}; {tested.says}")
        start = Link(where.point.frame, where.line, where.raised, "", None, ran=where.point.step)
        origin = Origin([start, tested.test, tested.made], end, tested.point, tested.value)
        if tested.rank[0]:  # in a call that had ended
            verdict.others.append(origin)
            return
        _take(verdict, origin, "likely", ["that the failure follows from it is not recorded"])


def _take(verdict: Verdict, origin: Origin, status: str, doubts: list[str]) -> None:
    before = [] if verdict.status == "unknown" or verdict.origin is None else [verdict.origin]
    places = {(origin.made.frame.code.path, origin.made.line)}
    verdict.others = [
        one for one in (*before, *verdict.others) if (one.made.frame.code.path, one.made.line) not in places
    ]
    verdict.status, verdict.origin, verdict.says, verdict.doubts = status, origin, origin.end.says, doubts
    verdict.unknown = []


def idle(value: Value | None) -> bool:
    """A coroutine or generator; whether it ran is not asked."""
    return value is not None and value.kind is ValueKind.NAMED and value.type in _KINDS


def _says(value: Value) -> str:
    return f"the {value.type.replace('_', ' ')} {value.scalar!s}() was made here and never {_KINDS[value.type]}"


# -- the failing line itself


def _failed_on(tracer: Tracer, where: Site) -> Origin | None:
    """Of the one that the failing line, or the test that led to it, took for a value."""
    scene = tracer.scene
    text = scene.text_of(where.point.frame)
    statement = text.statement(where.node) if text is not None else None
    if text is None or statement is None:
        return None
    raised = isinstance(statement, ast.Raise) or where.answers
    nodes: list[ast.AST] = [*suspects.tests(text, statement)] if raised else [where.node]
    names = [one for node in nodes for one in ast.walk(node) if isinstance(one, ast.Name)]
    for name in names:
        value = scene.evaluate(where.point, name)
        if value is None or not idle(value) or (not raised and not _complained(scene, where, value)):
            continue
        point = where.point.to(name)
        if raised and not (_is_test(text, name) and _never_ran(scene, where.point.frame, name.id, value)):
            continue
        start = Link(where.point.frame, where.line, where.raised, name.id, value, ran=where.point.step)
        origin = tracer.trace(point, start, value)
        if len(origin.links) > 1 and origin.end.kind is not Kind.LOST:
            origin.end = replace(origin.end, says=_says(value), unknown="")
            return origin
    return None


def _complained(scene: Scene, where: Site, value: Value) -> bool:
    """The exception says that it got one: ``'coroutine' object is not subscriptable``."""
    exception = scene.step(where.raised).value
    if exception is None or exception.type not in {"TypeError", "AttributeError"}:
        return False
    return any(isinstance(one.scalar, str) and f"'{value.type}'" in one.scalar for one in exception.items)


# -- a branch that was taken before


@dataclass(frozen=True, slots=True)
class _Tested:
    made: Link
    test: Link
    point: Point
    value: Value
    says: str
    rank: tuple[bool, int]


def _tested(scene: Scene, where: Site) -> Iterator[_Tested]:
    """Those on which a branch was taken before the failure: first in frames that wait for it, the latest first."""
    waiting = {(one.process, one.activation) for one in _stack(scene, where.point.frame)}
    for number, frame in enumerate(scene.execution.frames.values()):
        if number >= _MOST_FRAMES:
            return
        if not 0 <= frame.first_step < where.raised or frame.level != "lines":
            continue
        for name in frame.code.names:
            for one in scene.execution.history(frame, name):
                if idle(one.value) and one.line and one.written_at < where.raised:
                    found = _branch(scene, frame, one, where.raised)
                    if found is not None:
                        outside = (frame.process, frame.activation) not in waiting
                        yield replace(found, rank=(outside, -found.test.step))


def _stack(scene: Scene, frame: Frame) -> Iterator[Frame]:
    """A frame and those that wait for it, over services."""
    step = frame.last_step
    for _ in range(_CALLERS):
        yield frame
        caller = scene.flow.caller(frame, step)
        if caller is None:
            return
        frame, step = caller.frame, caller.step


def _branch(scene: Scene, frame: Frame, binding: Binding, until: int) -> _Tested | None:
    text, scope = scene.text_of(frame), scene.scope(frame)
    given = text.given(scope, binding.line, binding.name) if text is not None and scope is not None else None
    if text is None or scope is None or given is None or not isinstance(given.source, ast.Call) or given.keys:
        return None
    if given.how != "assigned" or not _never_ran(scene, frame, binding.name, binding.value):
        return None
    for name in _uses(scope, binding.name):
        statement = text.statement(name)
        ran = _ran(scene, frame, statement, binding.written_at - 1, until) if statement is not None else None
        if ran is None or statement is None:
            continue
        made = Link(frame, binding.line, binding.written_at, binding.name, binding.value, ran=ran)
        begun = scene.ran(frame, binding.line, binding.written_at)
        made = replace(made, ran=begun if begun is not None else -1)
        compared = any(isinstance(one, ast.Compare) for one in text.above(name))
        how = "compares it, and not" if compared else "tests it, and it is true whatever"
        says = "compared, and not what it would have given" if compared else "tested, and true whatever it is"
        test = Link(frame, statement.lineno, ran, binding.name, binding.value, says, ran=ran)
        said = f"line {statement.lineno} {how} {'what ' if compared else ''}it would have given"
        point = Point(frame, given.source, made.ran if made.ran >= 0 else binding.written_at, binding.written_at)
        return _Tested(made, test, point, binding.value, said, (True, 0))
    return None


def _never_ran(scene: Scene, frame: Frame, name: str, value: Value) -> bool:
    """No frame of it began, and no line that ran used the name but for a test."""
    text, scope = scene.text_of(frame), scene.scope(frame)
    if text is None or scope is None:
        return False
    for other in scene.execution.frames.values():
        if (
            other.process == frame.process
            and other.code.qualname == value.scalar
            and other.last_step > frame.first_step
        ):
            return False
    for one in _uses(scope, name):
        statement = text.statement(one)
        ran = statement is None or _ran(scene, frame, statement, frame.first_step, len(scene.execution.steps))
        if ran is not None and not _is_test(text, one):
            return False
    return True


def _uses(scope: ast.AST, name: str) -> list[ast.Name]:
    return [
        one for one in ast.walk(scope) if isinstance(one, ast.Name) and one.id == name and isinstance(one.ctx, ast.Load)
    ]


def _ran(scene: Scene, frame: Frame, statement: ast.stmt, after: int, until: int) -> int | None:
    """The first step at which a statement, of a block its head, ran between two others."""
    for index in scene.steps_between(frame, after, until):
        step = scene.step(index)
        if step.kind is StepKind.LINE and scene.statement(frame, step.line) is statement:
            return index
    return None


def _is_test(text: Text, name: ast.Name) -> bool:
    """Whether only its truth, or how it compares, is asked for."""
    inner: ast.AST = name
    for outer in text.above(name):
        match outer:
            case ast.Compare() | ast.UnaryOp(op=ast.Not()):
                return True
            case ast.BoolOp():
                inner = outer
            case ast.If(test=test) | ast.While(test=test) | ast.IfExp(test=test) | ast.Assert(test=test):
                return test is inner
            case _:
                return False
    return False
