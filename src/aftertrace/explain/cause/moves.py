"""Containers whose items were moved by code that is not recorded: after ``rows.reverse()`` an index is another item."""

from __future__ import annotations

import ast
from bisect import bisect_left

from aftertrace.explain.scene import texts
from aftertrace.explain.scene.likeness import ABSENT, part
from aftertrace.explain.scene.scene import Point, Scene
from aftertrace.model import Value, ValueKind
from aftertrace.reconstruct.execution import StepKind
from aftertrace.wire.equality import content

_METHODS = {
    "reverse", "sort", "insert", "pop", "remove", "extend", "update", "clear", "popitem", "appendleft", "popleft",
    "extendleft", "rotate", "move_to_end",
}  # fmt: skip
_FUNCTIONS = {"shuffle", "heapify", "heappush", "heappop", "insort", "insort_left", "insort_right"}
_CONTAINERS = {ValueKind.SEQUENCE, ValueKind.MAPPING}
_MOST = 400  # executed statements that are looked at


class Moves:
    """The calls of all sources that move items, and the steps at which they ran."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._calls: dict[tuple[str, int], list[tuple[ast.Call, ast.expr]]] = {}  # (path, line) -> call, what it moves
        for process, path in scene.execution.sources:
            text = scene.text(process, path)
            for call in texts.calls(text.tree) if text is not None else []:
                moved = _moved(call)
                if moved is not None:
                    self._calls.setdefault((path, call.lineno), []).append((call, moved))
        self._ran: list[tuple[int, tuple[str, int]]] = []
        for step in scene.execution.steps if self._calls else []:
            frame = scene.execution.frame(step) if step.kind is StepKind.LINE else None
            if frame is not None and (frame.code.path, step.line) in self._calls:
                self._ran.append((step.index, (frame.code.path, step.line)))

    def doubt(self, point: Point) -> str:
        """Why what is at a point's keys may have come from elsewhere; "" when nothing moved it."""
        whole = self._scene.evaluate(point, point.node)
        held: set[int] = set()
        for place in range(len(point.keys)):
            inner = part(whole, point.keys[:place]) if whole is not None else None
            if inner is not None and inner is not ABSENT and content(inner).kind in _CONTAINERS and inner.identity:
                held.add(inner.identity)
        until = bisect_left(self._ran, point.until, key=lambda one: one[0])
        for index, place_of in reversed(self._ran[max(until - _MOST, 0) : until] if held else []):
            for call, moved in self._calls[place_of]:
                if self._is(point, index, moved, held):
                    return f"{ast.unparse(call.func)}() may have put another in its place"
        return ""

    def _is(self, point: Point, index: int, moved: ast.expr, held: set[int]) -> bool:
        frame = self._scene.execution.frame(self._scene.step(index))
        if frame is None or frame.process != point.frame.process:
            return False
        value: Value | None = self._scene.evaluate(Point(frame, moved, index, index + 1), moved)
        return value is not None and value.identity in held


def _moved(call: ast.Call) -> ast.expr | None:
    name = texts.called(call)
    if isinstance(call.func, ast.Attribute) and name in _METHODS:
        return call.func.value
    return call.args[0] if name in _FUNCTIONS and call.args else None
