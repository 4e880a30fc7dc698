"""The same thing asked again and again: a loop that a test of the answer should have ended, and did not.

It is told from work that is merely repeated by its arguments, which are the same in each round, and by a test in the
loop's body that leaves it. To blame is the line that made what that test said.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field

from aftertrace.explain import repeats, texts
from aftertrace.explain.finding import Finding
from aftertrace.explain.hops import End, Kind, Link, Origin
from aftertrace.explain.intervals import Intervals
from aftertrace.explain.lineage import use
from aftertrace.explain.origin import Tracer
from aftertrace.explain.repeats import Loop, Parts, Place
from aftertrace.explain.scene import Point, Scene
from aftertrace.explain.texts import Text
from aftertrace.explain.usual import LEAST_SIBLINGS, Usual
from aftertrace.model import Value
from aftertrace.reconstruct.execution import Frame, StepKind
from aftertrace.reconstruct.text import duration

_NESTED = 0.8  # of the time of a loop around it
_MOST_TESTS = 4

type _Block = ast.For | ast.AsyncFor | ast.While


@dataclass(slots=True)
class _Retries:
    """All runs of one loop; ``path_ns`` with what it did between its rounds."""

    block: _Block
    loops: list[Loop] = field(default_factory=list)
    path_ns: int = 0

    @property
    def most(self) -> int:
        return max(one.count for one in self.loops)


def find(scene: Scene, tracer: Tracer, parts: Parts, usual: Usual) -> Finding | None:
    """None: no loop that asked the same thing again made it slow, or healthy requests go round as often."""
    found = _retries(scene, parts)
    most = max((one.path_ns for one in found.values()), default=0)
    inner = [(place, one) for place, one in found.items() if one.path_ns >= _NESTED * most]
    if not inner:
        return None
    place, best = max(inner, key=lambda one: one[1].loops[0].frame.first_step)
    counted = usual.counted(place)
    small = usual.doubts(best.path_ns, counted.usual_ns, parts.path.duration_ns)
    if small is None or (counted.counts and best.most <= max(counted.counts)):
        return None
    loop = max(best.loops, key=lambda one: one.count)
    origin = _decided(tracer, loop, best.block)
    if origin is None:
        return None
    asks = Link(loop.frame, loop.line, loop.rounds[-1].step, "", None, "asked again", ran=loop.rounds[-1].step)
    times = f"{best.most} times" + (f", {len(best.loops)} times over" if len(best.loops) > 1 else "")
    healthy = f"; healthy siblings {min(counted.counts)}-{max(counted.counts)}" if counted.counts else ""
    says = f"because of it {_file(asks)} asked the same {times} in {duration(best.path_ns)}{healthy}"
    few = [] if len(counted.counts) >= LEAST_SIBLINGS else ["few or no healthy siblings to compare it with"]
    return Finding(
        kind="slow",
        status="likely",
        says=says,
        links=[*reversed(origin.links), asks],
        values=list(_values(scene, origin)),
        doubts=["that the same is asked so often may be meant so", *few, *small],
        details={"made_by": "retried", "retried": {"most": best.most, "loops": len(best.loops), "ns": best.path_ns}},
    )


def _file(link: Link) -> str:
    return f"{link.frame.code.path.rpartition('/')[2]}:{link.line}"


def _values(scene: Scene, origin: Origin) -> Iterator[tuple[str, Value]]:
    for node in texts.inputs(origin.point.node):
        value = scene.evaluate(origin.point, node)
        if value is not None:
            yield ast.unparse(node), value


def _retries(scene: Scene, parts: Parts) -> dict[Place, _Retries]:
    found: dict[Place, _Retries] = {}
    for (process, activation, line), own in repeats.rounds(scene, parts.path.end_ns).items():
        frame = scene.execution.frames.get((process, activation))
        text = scene.text_of(frame) if frame is not None else None
        if frame is None or text is None or len(own) < repeats.LEAST_ROUNDS:
            continue
        statement = scene.statement(frame, line)
        block = _around(text, statement) if statement is not None else None
        loop = Loop(frame, line, own)
        if block is None or not list(_leaving(block, line)) or repeats.different(scene, loop) > 1:
            continue
        end = max(_left(scene, frame, block, own[-1].step), *(one.end_ns for one in own))
        extent = Intervals([(own[0].start_ns, end)]).common(parts.below(frame))
        one = found.setdefault(repeats.place(scene, frame, line), _Retries(block))
        one.loops.append(loop)
        one.path_ns += extent
    return found


def _around(text: Text, statement: ast.stmt) -> _Block | None:
    """The innermost loop in whose body a statement stands."""
    found = (one for one in text.above(statement) if isinstance(one, ast.For | ast.AsyncFor | ast.While))
    return next(found, None)


def _left(scene: Scene, frame: Frame, block: _Block, after: int) -> int:
    """When a line behind the loop ran, or its function ended: a wait may stand behind the last round. ns."""
    for index in scene.steps_between(frame, after, len(scene.execution.steps)):
        step = scene.step(index)
        if step.kind is StepKind.LINE and not block.lineno <= step.line <= (block.body[-1].end_lineno or 0):
            return step.time_ns
    return scene.step(frame.last_step).time_ns


def _leaving(block: _Block, line: int) -> Iterator[ast.If]:
    """The tests behind a line on which the body leaves the loop."""
    for one in block.body:
        if isinstance(one, ast.If) and one.lineno > line and isinstance(one.body[-1], ast.Return | ast.Break):
            yield one


def _decided(tracer: Tracer, loop: Loop, block: _Block) -> Origin | None:
    """What made the value of a test that did not leave the loop after a round that another one followed."""
    scene, frame, after = tracer.scene, loop.frame, loop.rounds[-2].step
    for test in list(_leaving(block, loop.line))[:_MOST_TESTS]:
        for index in scene.steps_between(frame, after, loop.rounds[-1].step):
            step = scene.step(index)
            if step.kind is not StepKind.LINE or step.line != test.lineno:
                continue
            own = scene.steps_between(frame, index, len(scene.execution.steps))
            lines = (one for one in own if scene.step(one).kind is StepKind.LINE)
            at = Point(frame, test.test, index, next(lines, index))
            return _made(tracer, at, test.test)
    return None


def _made(tracer: Tracer, at: Point, test: ast.expr) -> Origin:
    """The line that made what a test asks for; the test's own where it compares by itself."""
    while isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        test = test.operand
    value = tracer.scene.evaluate(at, test)
    start = use(at, test, value)
    if isinstance(test, ast.Call | ast.Await | ast.Name | ast.Attribute | ast.Subscript) and value is not None:
        found = tracer.trace(at.to(test, ()), start, value)
        if found.end.kind in {Kind.COMPUTED, Kind.LITERAL, Kind.DEFAULT}:
            return found
    return Origin([start], End(Kind.COMPUTED), at.to(test, ()), value)
