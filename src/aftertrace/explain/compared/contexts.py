"""Calls of different requests that are the same call: by service, function, and the way that led there."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from aftertrace.explain.scene.scene import Scene
from aftertrace.reconstruct.execution import Frame

_MOST = 20_000  # ways; what comes by further ones is one with what has no caller


class Function(NamedTuple):
    """A function of a service. A recursion is one way: the function stands in it once."""

    service: str
    path: str
    qualname: str
    first_line: int


@dataclass(frozen=True, slots=True)
class Context:
    """A function, and by which way it was called; ``caller`` -1: as the first of its service, in ``span``."""

    id: int
    caller: int
    function: Function
    span: str = ""


@dataclass(slots=True)
class Contexts:
    """The numbers of such ways, shared by all requests that are compared."""

    found: list[Context] = field(default_factory=list)
    _ids: dict[tuple[int, str, Function], int] = field(default_factory=dict)
    _on_way: list[dict[Function, int]] = field(default_factory=list)

    def of(self, scene: Scene) -> dict[tuple[int, int], int]:
        """(process, activation) -> way, for every recorded call of a request."""
        execution = scene.execution
        known: dict[tuple[int, int], int] = {}
        for key, first in execution.frames.items():
            way = [first]
            while (above := (way[-1].process, way[-1].parent)) not in known and len(way) <= len(execution.frames):
                outer = execution.frames.get(above) if above[1] else None
                if outer is None or outer is way[-1]:
                    break
                way.append(outer)
            for frame in reversed(way):
                caller = known.get((frame.process, frame.parent), -1) if frame.parent else -1
                known[frame.process, frame.activation] = self._one(scene, frame, caller)
            assert key in known  # noqa: S101
        return known

    def _one(self, scene: Scene, frame: Frame, caller: int) -> int:
        code = frame.code
        service = scene.execution.processes[frame.process].service
        function = Function(service, code.path, code.qualname, code.first_line)
        if caller >= 0 and function in self._on_way[caller]:
            return self._on_way[caller][function]
        span = ""
        if caller < 0:
            entry = scene.execution.spans.get(scene.flow.tree.entry(frame.span_id))
            span = entry.name if entry is not None else ""
        if len(self.found) >= _MOST:
            caller, span = -1, ""
        key = (caller, span, function)
        if key not in self._ids:
            self._ids[key] = len(self.found)
            self._on_way.append({**(self._on_way[caller] if caller >= 0 else {}), function: len(self.found)})
            self.found.append(Context(len(self.found), caller, function, span))
        return self._ids[key]
