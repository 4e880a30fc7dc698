"""The same line in another request: whether it ran there, what it worked with, and whether it raised there."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from weakref import WeakKeyDictionary

from aftertrace.explain.scene.likeness import ABSENT
from aftertrace.explain.scene.scene import Point, Scene
from aftertrace.model import Value
from aftertrace.reconstruct.execution import Code, Frame, StepKind
from aftertrace.reconstruct.raises import first_raises

_MOST_VISITS = 50  # of one line in one request: a loop says no more when it has gone round more often


@dataclass(frozen=True, slots=True)
class Spot:
    """A line of a function of a service, with its text: the same one in another request has all of them."""

    service: str
    code: Code
    line: int
    source: str  # stripped

    @classmethod
    def of(cls, scene: Scene, frame: Frame, line: int) -> Spot:
        service = scene.execution.processes[frame.process].service
        return cls(service, frame.code, line, scene.source_line(frame, line))


@dataclass(slots=True)
class Visits:
    """What one request shows of a spot."""

    scene: Scene
    called: bool = False  # its function was, in a recording with the same source
    ran: list[tuple[Frame, int]] = field(default_factory=list)  # (frame, LINE step)
    unseen: bool = False  # lines of it may have run that were not recorded

    def raised(self, spot: Spot, kind: str) -> bool:
        """Whether an exception of a type was raised first on this very line."""
        for index in _raises(self.scene):
            step = self.scene.step(index)
            frame = self.scene.execution.frame(step)
            alike = step.line == spot.line and step.value is not None and step.value.type == kind
            if alike and frame is not None and _is(self.scene, frame, spot):
                return True
        return False

    def values(self, node: ast.expr, *, after: bool) -> Iterator[Value]:
        """What an expression was worth there, at each visit: as the line began, or once it had run."""
        for frame, index in self.ran:
            own = self.scene.steps_between(frame, index, len(self.scene.execution.steps))
            until = own[0] if own else index
            value = self.scene.value(Point(frame, node, until if after else index, until))
            if value is not None and value is not ABSENT:
                yield value


_known: WeakKeyDictionary[Scene, Sequence[int]] = WeakKeyDictionary()  # asked for each exception that was handled


def _raises(scene: Scene) -> Sequence[int]:
    if scene not in _known:
        _known[scene] = first_raises(scene.execution)
    return _known[scene]


def visits(scene: Scene, spot: Spot) -> Visits:
    """Of one request; functions are the same when service, path, name and the line's text are."""
    found = Visits(scene)
    for frame in scene.execution.frames.values():
        if not _is(scene, frame, spot):
            continue
        found.called = True
        found.unseen = found.unseen or frame.level != "lines"
        for index in scene.execution.steps_of(frame):
            step = scene.step(index)
            if step.kind is StepKind.LINE and step.line == spot.line and len(found.ran) < _MOST_VISITS:
                found.ran.append((frame, index))
    return found


def _is(scene: Scene, frame: Frame, spot: Spot) -> bool:
    code = frame.code
    return (
        code.qualname == spot.code.qualname
        and code.path == spot.code.path
        and scene.execution.processes[frame.process].service == spot.service
        and scene.source_line(frame, spot.line) == spot.source
    )
