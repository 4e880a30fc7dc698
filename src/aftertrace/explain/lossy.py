"""Lines that lost something of a value in this request: how silent errors are made that only fail further on.

Each way is told by recorded values, never by the source alone (but for units, which names say): a zero that counted as
not there, a fraction that was cut just below a whole number, one more than a whole multiple takes, a time whose offset
was dropped, characters counted where bytes are meant. What healthy requests lost at the same line too is none of it.
Such a line is never proven to be the cause: it may be meant so.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime

from aftertrace.explain import paging, texts, units
from aftertrace.explain.company import Company
from aftertrace.explain.likeness import ABSENT
from aftertrace.explain.likewise import Spot, visits
from aftertrace.explain.lookups import worth
from aftertrace.explain.scene import Point, Scene
from aftertrace.model import Value, ValueKind
from aftertrace.reconstruct.execution import Frame, StepKind
from aftertrace.wire.equality import content, cut

_NEAR = 1e-6  # below a whole number: no fraction that somebody reckons with
_MOST_VISITS = 50  # of a line
_MOST_FRAMES = 40


@dataclass(frozen=True, slots=True)
class Loss:
    """A line's statement at one of its visits. ``healthy``: siblings in which it ran and lost nothing."""

    frame: Frame
    line: int
    step: int
    name: str  # what was lost of; "" where only names tell
    value: Value | None
    says: str
    point: Point  # what the line made of it
    healthy: int = 0

    @property
    def told(self) -> str:
        return f"{self.says}; in none of {self.healthy} healthy siblings" if self.healthy else self.says


def find(scene: Scene, company: Company, frames: Iterable[Frame], until: int, *, as_bytes: bool) -> list[Loss]:
    """In calls that had a part in a value, before a step. ``as_bytes``: what failed was bytes."""
    found: dict[tuple[int, str, int], Loss] = {}
    for frame in list(frames)[:_MOST_FRAMES]:
        for line, visited in _lines(scene, frame, until).items():
            key = (frame.process, frame.code.path, line)
            statement = scene.statement(frame, line)
            if statement is None or key in found:
                continue
            losses = (
                loss
                for index in visited[:_MOST_VISITS]
                for loss in _lost(scene, frame, statement, index, as_bytes=as_bytes)
            )
            loss = next(losses, None)
            healthy = _healthy(scene, company, loss, as_bytes=as_bytes) if loss is not None else None
            if loss is not None and healthy is not None:
                found[key] = replace(loss, healthy=healthy)
    return sorted(found.values(), key=lambda one: (-bool(one.healthy), -one.step))


def _lines(scene: Scene, frame: Frame, until: int) -> dict[int, list[int]]:
    found: dict[int, list[int]] = {}
    for index in scene.execution.steps_of(frame):
        step = scene.step(index)
        if step.kind is StepKind.LINE and index < until:
            found.setdefault(step.line, []).append(index)
    return found


def _healthy(scene: Scene, company: Company, loss: Loss, *, as_bytes: bool) -> int | None:
    """In how many healthy siblings the line ran; None: one of them lost the same there, and went well."""
    spot, ran = Spot.of(scene, loss.frame, loss.line), 0
    for sibling in company.siblings():
        found = visits(sibling, spot)
        ran += bool(found.ran)
        for frame, index in found.ran:
            statement = sibling.statement(frame, loss.line)
            if statement is not None and any(
                one.says for one in _lost(sibling, frame, statement, index, as_bytes=as_bytes) if not _static(one)
            ):
                return None
    return ran if not _static(loss) else 0


def _static(loss: Loss) -> bool:
    return loss.name == ""


def _lost(scene: Scene, frame: Frame, statement: ast.stmt, index: int, *, as_bytes: bool) -> Iterator[Loss]:
    own = scene.steps_between(frame, index, len(scene.execution.steps))
    until = own[0] if own else index
    point = Point(frame, ast.Constant(None, lineno=statement.lineno, col_offset=0), index, until)
    made = Point(frame, _made(statement), until, until)
    for node in texts.own_nodes(statement):
        found = _expression(scene, point, node, as_bytes=as_bytes) if isinstance(node, ast.expr) else None
        if found is not None:
            name, value, says = found
            yield Loss(frame, statement.lineno, index, name, value, says, made)
    says = units.mixed(statement) or paging.passes_over(statement)
    if says:
        yield Loss(frame, statement.lineno, index, "", None, says, made)
    dropped = _offset(scene, point, statement, _result(scene, frame, statement, until))
    if dropped is not None:
        yield Loss(frame, statement.lineno, index, *dropped, made)


def _made(statement: ast.stmt) -> ast.expr:
    """The name that a statement sets."""
    match statement:
        case ast.Assign(targets=[ast.Name() as name]) | ast.AnnAssign(target=ast.Name() as name):
            return name
        case _:
            return ast.Constant(None, lineno=statement.lineno, col_offset=0)


def _result(scene: Scene, frame: Frame, statement: ast.stmt, until: int) -> Value | None:
    """What a statement returned, or gave the one name that it sets."""
    after = scene.step(until)
    if isinstance(statement, ast.Return):
        return after.value if after.kind is StepKind.RETURN else None
    match statement:
        case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
            binding = scene.binding(frame, name, until)
            return binding.value if binding is not None else None
        case _:
            return None


type _Said = tuple[str, Value | None, str]  # of which expression, its value, what was lost


def _expression(scene: Scene, point: Point, node: ast.expr, *, as_bytes: bool) -> _Said | None:
    match node:
        case ast.BoolOp(op=ast.Or(), values=[first, other, *_]) if not _tests(scene, point, node):
            return _zero(scene, point, first, other)
        case ast.IfExp(test=test, body=body, orelse=other) if ast.dump(test) == ast.dump(body):
            return _zero(scene, point, test, other)
        case (
            ast.Call(func=ast.Name(id="int"), args=[inner])
            | ast.Call(func=ast.Attribute(attr="floor" | "trunc"), args=[inner])
        ):
            return _fraction(scene, point, inner)
        case ast.BinOp(left=ast.BinOp(op=ast.FloorDiv()) as whole, op=ast.Add(), right=ast.Constant(value=1)):
            return _multiple(scene, point, whole.left, whole.right)
        case ast.BinOp(
            left=ast.Call(func=ast.Name(id="int"), args=[ast.BinOp(op=ast.Div()) as whole]),
            op=ast.Add(),
            right=ast.Constant(value=1),
        ):
            return _multiple(scene, point, whole.left, whole.right)
        case ast.Call(func=ast.Name(id="len"), args=[inner]) if as_bytes:
            return _characters(scene, point, inner)
        case _:
            return None


def _tests(scene: Scene, point: Point, node: ast.AST) -> bool:
    """Whether only the truth of an expression is asked for."""
    source = scene.text_of(point.frame)
    while source is not None and (above := source.parent(node)) is not None:
        match above:
            case ast.If(test=test) | ast.While(test=test) | ast.Assert(test=test) | ast.IfExp(test=test):
                return test is node
            case ast.UnaryOp(op=ast.Not()):
                return True
            case ast.BoolOp():
                node = above
            case _:
                return False
    return False


def _scalar(scene: Scene, point: Point, node: ast.expr) -> object:
    value = worth(scene, point, node)
    if value is None or value is ABSENT:
        return None
    value = content(value)
    return value.scalar if value.kind is ValueKind.SCALAR and not cut(value) else None


def _zero(scene: Scene, point: Point, first: ast.expr, other: ast.expr) -> _Said | None:
    held = _scalar(scene, point, first)
    if held is None or isinstance(held, str | bytes) or held:
        return None
    taken = ast.unparse(other)
    says = f"{ast.unparse(first)} is {held!r}, which counts as false: {taken} took its place"
    return ast.unparse(first), worth(scene, point, first), says


def _fraction(scene: Scene, point: Point, inner: ast.expr) -> _Said | None:
    held = _scalar(scene, point, inner)
    if not isinstance(held, float) or not math.isfinite(held) or held == int(held):
        return None
    if math.ceil(held) - held > _NEAR * max(1.0, abs(held)):
        return None
    says = f"{ast.unparse(inner)} is {held!r}, just below {math.ceil(held)}, and was cut to {int(held)}"
    names = [one for one in texts.inputs(inner) if isinstance(one, ast.Name)]
    shown = names[0] if names else inner
    return ast.unparse(shown), scene.evaluate(point, shown), says


def _multiple(scene: Scene, point: Point, left: ast.expr, right: ast.expr) -> _Said | None:
    count, size = _scalar(scene, point, left), _scalar(scene, point, right)
    if not isinstance(count, int) or not isinstance(size, int) or count <= 0 or size <= 1 or count % size:
        return None
    says = f"{ast.unparse(left)} = {count} is a whole multiple of {size}: one more than it takes"
    return ast.unparse(left), scene.evaluate(point, left), says


def _characters(scene: Scene, point: Point, inner: ast.expr) -> _Said | None:
    held = _scalar(scene, point, inner)
    if not isinstance(held, str) or held.isascii():
        return None
    size = len(held.encode(errors="replace"))
    says = f"{ast.unparse(inner)} has {len(held)} characters, and {size} bytes in UTF-8"
    return ast.unparse(inner), scene.evaluate(point, inner), says


def _offset(scene: Scene, point: Point, statement: ast.stmt, result: Value | None) -> _Said | None:
    """A time that has the same hands, and is another moment."""
    made = _moment(result)
    if made is None:
        return None
    for node in (one for one in texts.own_nodes(statement) if isinstance(one, ast.Name | ast.Attribute)):
        value = scene.evaluate(point, node) if isinstance(node.ctx, ast.Load) else None
        given = _moment(value)
        if given is None or given.utcoffset() is None or given.utcoffset() == made.utcoffset():
            continue
        if given.replace(tzinfo=None) == made.replace(tzinfo=None) and given.utcoffset():
            offset = f"{given:%z}"
            return ast.unparse(node), value, f"the offset {offset[:3]}:{offset[3:]} of {ast.unparse(node)} was dropped"
    return None


def _moment(value: Value | None) -> datetime | None:
    if value is None or value is ABSENT:
        return None
    value = content(value)
    told = value.scalar if isinstance(value.scalar, str) and not cut(value) else ""
    if value.kind not in {ValueKind.TEMPORAL, ValueKind.SCALAR} or not 16 <= len(told) <= 40:
        return None
    try:
        return datetime.fromisoformat(told)
    except ValueError:
        return None
