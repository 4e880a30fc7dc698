"""Attributes and entries of objects that requests of one process share, in the words of a statement on a row.

Only plain ones: ``name = self.left``, ``if stock[key] < n:``, ``return self.stock.get(key)`` read, ``self.left = ...``,
``stock[key] -= n`` write. An object is known by its identity (one that is read and written around another request's
write has lived all the while), a module's by its name. A line ran between the stamps around it in its thread.
"""

from __future__ import annotations

import ast
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from aftertrace.explain import texts
from aftertrace.explain.access import VALUE, Access, scalar
from aftertrace.explain.scene import Point, Scene
from aftertrace.explain.statements import Change, Condition, Statement, Term
from aftertrace.model import Scalar, Value
from aftertrace.reconstruct.execution import Frame, Step, StepKind

_MOST = 400  # of one request
_SIGNS = {ast.Add: "+", ast.Sub: "-"}

type _Item = ast.Attribute | ast.Subscript


@dataclass(frozen=True, slots=True)
class _Site:
    """Where a line reads or writes an item; ``value`` is what it writes."""

    item: _Item
    value: ast.expr | None = None
    sign: str = ""
    name: str = ""  # what is bound to what was read
    returned: bool = False


def accesses(scene: Scene) -> list[Access]:
    """What a request read and wrote of the items that it writes, in order."""
    finder = _Finder(scene)
    return list(finder.found()) if finder.written else []


class _Finder:
    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self._sites: dict[tuple[int, int, int], _Site | None] = {}
        self._lines = list[tuple[Step, Frame, _Site]]()
        self.written = set[str]()
        for step in scene.execution.steps:
            frame = scene.execution.frame(step) if step.kind is StepKind.LINE else None
            site = self._site(frame, step.line) if frame is not None else None
            if frame is not None and site is not None:
                self._lines.append((step, frame, site))
                if site.value is not None:
                    self.written.add(_last(site.item))
        self._stamps: dict[tuple[int, int], list[Step]] = {}

    def found(self) -> Iterator[Access]:
        count = 0
        for step, frame, site in self._lines:
            if _last(site.item) in self.written and count < _MOST:
                access = self._access(step, frame, site)
                if access is not None:
                    count += 1
                    yield access

    def _site(self, frame: Frame, line: int) -> _Site | None:
        key = (frame.process, frame.code.id, line)
        if key not in self._sites:
            statement = self.scene.statement(frame, line)
            own = statement is not None and frame.code.name not in {"__init__", "<module>"}
            self._sites[key] = _read(statement) if statement is not None and own else None
        return self._sites[key]

    def _access(self, step: Step, frame: Frame, site: _Site) -> Access | None:
        scene = self.scene
        point = Point(frame, site.item, step.index, step.index)
        row = self._row(point, site.item)
        bounds = self._bounds(step)
        if row is None or bounds is None:
            return None
        where = tuple(Condition(column, "=", Term(literal=value)) for column, value in row)
        table = scene.execution.processes[frame.process].uid
        if site.value is None:
            statement = Statement("SELECT", table, where, columns=(VALUE,))
        else:
            worth = scalar(scene.evaluate(point.to(site.value), site.value))
            term = Term(literal=worth) if isinstance(worth, int | float) else None
            statement = Statement("UPDATE", table, where, changes=(Change(VALUE, site.sign, term),))
        label = f"{ast.unparse(site.item.value)}{_named(site.item, row[-1][1])}"
        got = self._got(point, site)
        return Access(scene, frame, step, step.index, *bounds, statement, (), label=label, node=site.item, got=got)

    def _got(self, point: Point, site: _Site) -> Value | None:
        """What a line read: what it bound or returned, or where it only looked what was there."""
        if site.value is not None:
            return None
        if site.name:
            history = self.scene.execution.history(point.frame, site.name)
            return next((one.value for one in history if one.written_at > point.step), None)
        if site.returned:
            done = self.scene.returned(point.frame, len(self.scene.execution.steps))
            return done.value if done is not None else None
        return self.scene.evaluate(point, site.item)

    def _row(self, point: Point, item: _Item) -> tuple[tuple[str, Scalar], ...] | None:
        """What object it is of, and which part of it."""
        inside = ("item", f".{item.attr}") if isinstance(item, ast.Attribute) else self._key(point, item)
        if inside is None:
            return None
        root = texts.root(item.value)
        if isinstance(root, ast.Name) and root.id not in point.frame.code.names:
            plain = all(isinstance(one, ast.Attribute | ast.Name | ast.expr_context) for one in ast.walk(item.value))
            return (("object", f"{point.frame.code.path} {ast.unparse(item.value)}"), inside) if plain else None
        held = self.scene.evaluate(point.to(item.value), item.value)
        return (("object", held.identity), inside) if held is not None and held.identity else None

    def _key(self, point: Point, item: ast.Subscript) -> tuple[str, Scalar] | None:
        key = self.scene.key(point, item.slice) if not isinstance(item.slice, ast.Slice) else None
        known = key is not None and isinstance(key.name, str | int) and not isinstance(key.name, bool)
        return ("item", key.name) if key is not None and known else None

    def _bounds(self, step: Step) -> tuple[int, int] | None:
        """The stamps around a line in its thread, on its host's clock."""
        stamps = self._of(step)
        before = bisect_right(stamps, step.index, key=lambda one: one.index) - 1
        after = bisect_left(stamps, step.index, key=lambda one: one.index)
        if before < 0 or after >= len(stamps):
            return None
        skew = self.scene.execution.processes[step.process].skew_ns
        return stamps[before].time_ns - skew, stamps[after].time_ns - skew

    def _of(self, step: Step) -> Sequence[Step]:
        key = (step.process, step.thread)
        if not self._stamps:
            for one in self.scene.execution.steps:
                if one.kind not in {StepKind.LINE, StepKind.GAP, StepKind.KEEP}:
                    self._stamps.setdefault((one.process, one.thread), []).append(one)
        return self._stamps.get(key, [])


def _read(statement: ast.stmt) -> _Site | None:
    """The item that a statement reads, or writes and reads no other."""
    match statement:
        case ast.Assign(targets=[ast.Attribute() | ast.Subscript() as item], value=value):
            return _Site(item, value)
        case ast.AugAssign(target=ast.Attribute() | ast.Subscript() as item, op=op, value=value):
            sign = _SIGNS.get(type(op))
            awaits = any(isinstance(one, ast.Await) for one in ast.walk(value))
            return _Site(item, value, sign) if sign is not None and not awaits else None
        case (
            ast.Assign(targets=[ast.Name(id=name)], value=value)
            | ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value)
        ):
            read = _item(value)
            return _Site(read, name=name) if read is not None else None
        case ast.Return(value=ast.expr() as value):
            read = _item(value)
            return _Site(read, returned=True) if read is not None else None
        case ast.If(test=test) | ast.While(test=test) | ast.Assert(test=test):
            inside = [one for one in ast.walk(test) if isinstance(one, ast.Attribute | ast.Subscript)]
            outer = [one for one in inside if not any(one in ast.walk(other) for other in inside if other is not one)]
            called = {id(one.func) for one in ast.walk(test) if isinstance(one, ast.Call)}
            return _Site(outer[0]) if len(outer) == 1 and id(outer[0]) not in called else None
        case _:
            return None


def _item(value: ast.expr) -> _Item | None:
    """``stock[key]``, ``self.left``, ``stock.get(key)`` and ``stock.get(key, 0)``."""
    match value:
        case ast.Attribute() | ast.Subscript():
            return value
        case ast.Call(func=ast.Attribute(value=held, attr="get"), args=[key, *rest], keywords=[]) if len(rest) < 2:
            return ast.copy_location(ast.Subscript(held, key, ast.Load()), value)
        case _:
            return None


def _last(item: _Item) -> str:
    """What an item is called, or what it is an item of: ``left``, ``stock[]``."""
    if isinstance(item, ast.Attribute):
        return item.attr
    held = item.value
    return f"{held.attr if isinstance(held, ast.Attribute) else ast.unparse(held)}[]"


def _named(item: _Item, inside: Scalar) -> str:
    return str(inside) if isinstance(item, ast.Attribute) else f"[{inside!r}]"
