"""Attributes and items that were set: which executed statement gave an object's part its value."""

from __future__ import annotations

import ast
from bisect import bisect_left
from dataclasses import dataclass, replace

from aftertrace.explain.cause.hops import Link, Move
from aftertrace.explain.scene.likeness import ABSENT, Key, Keys, part, same, shown
from aftertrace.explain.scene.scene import Point, Scene
from aftertrace.model import Scalar, Value
from aftertrace.reconstruct.execution import Frame, StepKind

_MOST = 400  # executed statements that are looked at for one part
_ADDING = {
    "append": 0,
    "add": 0,
    "insert": 1,
    "appendleft": 0,
    "put": 0,
    "put_nowait": 0,
}  # method -> its value's place


@dataclass(frozen=True, slots=True)
class _Store:
    """``base.name = source``, ``base[index] = source``, ``base.append(source)``."""

    path: str
    statement: ast.stmt
    base: ast.expr
    source: ast.expr
    attribute: str = ""
    index: ast.expr | None = None

    @property
    def changes(self) -> bool:
        """``+=``: its source is worked out with the value before."""
        return isinstance(self.statement, ast.AugAssign)

    @property
    def adds(self) -> bool:
        """It appends, and sets no part by name."""
        return not self.attribute and self.index is None


@dataclass(frozen=True, slots=True)
class _Wanted:
    """The part ``point.keys[place]`` of an object."""

    point: Point
    place: int
    whole: Value | None  # the object, as far as it is known
    value: Value | None  # what is at the end of the keys

    @property
    def rest(self) -> Keys:
        return self.point.keys[self.place + 1 :]

    @property
    def text(self) -> str:
        return ast.unparse(self.point.node) + shown(self.point.keys[: self.place])


class Stores:
    """The statements of all sources that set parts of objects, and the steps at which they ran."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._by_attribute: dict[str, list[_Store]] = {}
        self._items: list[_Store] = []
        self._ran: dict[tuple[str, int], list[int]] = {}  # (path, line) -> LINE steps
        self._read: set[str] = set()
        for process, path in scene.execution.sources:
            text = scene.text(process, path)
            if text is not None and path not in self._read:
                self._read.add(path)
                self._collect(path, text.tree)
        self._collect_steps()
        scene.set_between = self.set_between

    def set_between(self, whole: Value, key: Key, after: int, before: int) -> bool:
        """Whether a statement that ran between two steps, the first included, may have set an object's attribute."""
        for store in self._by_attribute.get(f"{key.name!s}", []):
            ran = self._ran.get((store.path, store.statement.lineno), [])
            for index in ran[bisect_left(ran, after) : bisect_left(ran, before)][-_MOST:]:
                frame = self._scene.execution.frame(self._scene.step(index))
                held = self._scene.evaluate(self._at(frame, index, store), store.base) if frame is not None else None
                if held is None or not held.identity or held.identity == whole.identity:
                    return True
        return False

    def _collect(self, path: str, tree: ast.Module) -> None:
        for node in ast.walk(tree):
            if isinstance(node, ast.stmt):
                for store in _stores(path, node):
                    if store.attribute:
                        self._by_attribute.setdefault(store.attribute, []).append(store)
                    else:
                        self._items.append(store)

    def _collect_steps(self) -> None:
        wanted = {(one.path, one.statement.lineno) for found in self._by_attribute.values() for one in found}
        wanted |= {(one.path, one.statement.lineno) for one in self._items}
        paths = {path for path, _ in wanted}
        for step in self._scene.execution.steps:
            if step.kind is not StepKind.LINE:
                continue
            frame = self._scene.execution.frame(step)
            if frame is not None and frame.code.path in paths and (frame.code.path, step.line) in wanted:
                self._ran.setdefault((frame.code.path, step.line), []).append(step.index)

    def find(self, point: Point, value: Value | None) -> Move | None:
        """The last store before a point that set what is at its keys, or something on the way there."""
        whole = self._scene.evaluate(point, point.node)
        found: list[tuple[int, Move]] = []
        for place, key in enumerate(point.keys):
            inner = part(whole, point.keys[:place]) if whole is not None else None
            wanted = _Wanted(point, place, None if inner is ABSENT else inner, value)
            move = self._last(wanted, key)
            if move is not None:
                found.append((move.point.step, move))
        if found:
            return max(found, key=lambda one: one[0])[1]
        return self._in_class(point, whole, point.keys[0])

    def _last(self, wanted: _Wanted, key: Key) -> Move | None:
        stores = [*self._by_attribute.get(f"{key.name!s}", []), *([] if key.attribute else self._items)]
        if wanted.whole is not None and not wanted.whole.identity:
            return None
        ran = [(index, one) for one in stores for index in self._before(one, wanted.point.step)]
        ran.sort(key=lambda pair: pair[0])
        added = [one for one in ran[-_MOST:] if self._adds(wanted, *one)] if isinstance(key.name, int) else []
        size = wanted.whole.size if wanted.whole is not None else None
        if added and isinstance(key.name, int) and size == len(added) and -size <= key.name < size:
            return self._move(wanted, *added[key.name])  # every item was added by one of them
        later = ""
        for index, store in reversed(ran[-_MOST:]):
            move = self._fits(wanted, key, index, store)
            if move is not None:
                others = store.adds and sum(self._fits(wanted, key, *one) is not None for one in added) > 1
                doubt = move.doubt or ("equal values were added" if others else later)
                return replace(move, doubt=doubt) if doubt else move
            if store.attribute and self._doubt(wanted, index, store) == "":
                later = "a later line set it too, to what is recorded as another value"
        return None

    def _before(self, store: _Store, step: int) -> list[int]:
        found = self._ran.get((store.path, store.statement.lineno), [])
        at = bisect_left(found, step)
        return found[max(at - _MOST, 0) : at]

    def _adds(self, wanted: _Wanted, index: int, store: _Store) -> bool:
        """Whether a step appended to the very list."""
        return store.adds and self._doubt(wanted, index, store) == ""

    def _doubt(self, wanted: _Wanted, index: int, store: _Store) -> str | None:
        """None: a step did not store into the wanted object; else why that is not certain, "" when it is."""
        frame = self._scene.execution.frame(self._scene.step(index))
        if frame is None or frame.process != wanted.point.frame.process or not self._runs_in(frame, store):
            return None
        held = self._scene.evaluate(self._at(frame, index, store), store.base)
        if held is not None and wanted.whole is not None:
            return "" if held.identity and held.identity == wanted.whole.identity else None
        if held is None and wanted.whole is None and ast.unparse(store.base) == wanted.text:
            return "" if frame.code.path == wanted.point.frame.code.path else "two names are taken for one object"
        return None

    def _at(self, frame: Frame, index: int, store: _Store) -> Point:
        return Point(frame, store.source, index, self._after(frame, index))

    def _fits(self, wanted: _Wanted, key: Key, index: int, store: _Store) -> Move | None:
        if self._doubt(wanted, index, store) is None:
            return None
        frame = self._scene.execution.frame(self._scene.step(index))
        if frame is None:
            return None
        at = self._at(frame, index, store)
        if store.index is not None:
            known = self._scene.key(at, store.index)
            if known is None or known.name != key.name:
                return None
        if self._gone(wanted, key, at.until):
            return None
        inner = None if store.changes else self._scene.value(at.to(store.source, wanted.rest))
        alike = same(inner, wanted.value) if inner is not None and wanted.value is not None else None
        if alike is False or (store.adds and not alike):
            return None
        return self._move(wanted, index, store)

    def _gone(self, wanted: _Wanted, key: Key, after: int) -> bool:
        """Whether the object was seen without the part since: then it is another one, at the same address."""
        if wanted.whole is None or not key.attribute:
            return False
        seen = self._scene.captures(wanted.point.frame.process, wanted.whole)
        return any(
            after <= step <= wanted.point.step and value.missing is None and key.name not in dict(value.attributes)
            for step, value in seen
        )

    def _move(self, wanted: _Wanted, index: int, store: _Store) -> Move | None:
        frame = self._scene.execution.frame(self._scene.step(index))
        if frame is None:
            return None
        at = self._at(frame, index, store)
        inner = None if store.changes else self._scene.value(at.to(store.source, wanted.rest))
        if inner is None and wanted.value is None:
            inner = self._scene.value(Point(frame, store.base, at.until, at.until, wanted.point.keys[wanted.place :]))
        keys = wanted.point.keys[wanted.place :]
        name = ast.unparse(store.base) + ("[…]" + shown(keys[1:]) if store.adds else shown(keys))
        link = Link(
            frame, store.statement.lineno, at.until, name, wanted.value if inner is ABSENT else inner, ran=index
        )
        return Move(at.to(store.source, wanted.rest), link, self._doubt(wanted, index, store) or "")

    def _runs_in(self, frame: Frame, store: _Store) -> bool:
        scope = self._scene.scope(frame)
        text = self._scene.text_of(frame)
        return (
            scope is not None and text is not None and store.statement in text.statements(scope, store.statement.lineno)
        )

    def _after(self, frame: Frame, index: int) -> int:
        """The frame's next step in another statement."""
        own = self._scene.execution.steps_of(frame)
        at = bisect_left(own, index) + 1
        return own[at] if at < len(own) else index + 1

    def _in_class(self, point: Point, whole: Value | None, key: Key) -> Move | None:
        """A class attribute that the source sets once, where the object has none of its own."""
        if not key.attribute or whole is None or part(whole, (key,)) not in {None, ABSENT}:
            return None
        name = whole.type.rpartition(".")[2] if whole.attributes or not whole.scalar else f"{whole.scalar!s}"
        found: list[tuple[str, ast.expr]] = []
        for process, path in self._scene.execution.sources:
            text = self._scene.text(process, path)
            if process == point.frame.process and text is not None:
                found += [(path, node) for node in _class_attribute(text.tree, name, key.name)]
        if len(found) != 1 or found[0][0] != point.frame.code.path:
            return None
        line = found[0][1].lineno
        link = Link(point.frame, line, point.step, f"{name}.{key.name!s}", None, "set when the class was made")
        at = Point(point.frame, found[0][1], point.step, point.step, point.keys)
        return Move(at, link, f"{name}.{key.name!s} was set before the recording; its source says so once")


def _stores(path: str, node: ast.stmt) -> list[_Store]:
    found: list[_Store] = []
    match node:
        case ast.Assign(targets=targets, value=value):
            found = [one for target in targets for one in _to(path, node, target, value)]
        case ast.AnnAssign(target=target, value=ast.expr() as value):
            found = _to(path, node, target, value)
        case ast.AugAssign(target=target, value=value):
            found = _to(path, node, target, ast.copy_location(ast.BinOp(target, node.op, value), node))
        case ast.Expr(value=ast.Call(func=ast.Attribute(value=base, attr=method), args=args)) if method in _ADDING:
            place = _ADDING[method]
            found = [_Store(path, node, base, args[place])] if len(args) > place else []
        case ast.Expr(
            value=ast.Call(func=ast.Name(id="setattr"), args=[base, ast.Constant(value=str() as name), value])
        ):
            found = [_Store(path, node, base, value, name)]
    return found


def _to(path: str, node: ast.stmt, target: ast.expr, value: ast.expr) -> list[_Store]:
    match target:
        case ast.Attribute(value=base, attr=name):
            return [_Store(path, node, base, value, name)]
        case ast.Subscript(value=base, slice=index) if not isinstance(index, ast.Slice):
            return [_Store(path, node, base, value, index=index)]
        case ast.Tuple(elts=parts) if isinstance(value, ast.Tuple) and len(value.elts) == len(parts):
            return [
                one for inner, source in zip(parts, value.elts, strict=True) for one in _to(path, node, inner, source)
            ]
        case _:
            return []


def _class_attribute(tree: ast.Module, class_name: str, name: Scalar) -> list[ast.expr]:
    found: list[ast.expr] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef) and node.name == class_name:
            for statement in node.body:
                match statement:
                    case ast.Assign(targets=[ast.Name(id=known)], value=value) if known == name:
                        found.append(value)
                    case ast.AnnAssign(target=ast.Name(id=known), value=ast.expr() as value) if known == name:
                        found.append(value)
    return found


def fields(tree: ast.Module, class_name: str) -> list[str]:
    """Annotated names of a class, in order: what a dataclass takes by place."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef) and node.name == class_name:
            return [n.target.id for n in node.body if isinstance(n, ast.AnnAssign) and isinstance(n.target, ast.Name)]
    return []
