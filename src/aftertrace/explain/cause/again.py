"""What this request did again, or had to handle, and no healthy one did: exceptions handled, loops that went round more
often, and in them a call that was sent again and was not the same one."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from aftertrace.explain.cause.blame import Verdict
from aftertrace.explain.cause.handled import Handled, handled
from aftertrace.explain.cause.hops import End, Kind, Link, Origin
from aftertrace.explain.cause.suspects import Site
from aftertrace.explain.cause.swallowed import compare
from aftertrace.explain.compared.digest import digest
from aftertrace.explain.compared.likewise import Spot, visits
from aftertrace.explain.scene.company import Company
from aftertrace.explain.scene.scene import Point, Scene
from aftertrace.explain.scene.texts import own_nodes
from aftertrace.model import Span, Value
from aftertrace.reconstruct.execution import Frame, Step, StepKind
from aftertrace.reconstruct.text import short_type

_LEAST = 3  # healthy requests that ran the line
_MOST_HANDLED = 20  # looked at, the last ones
_MOST_NAMED = 3
_CALLERS = 50

type _Loop = ast.For | ast.AsyncFor | ast.While


@dataclass(frozen=True, slots=True)
class _Retry:
    """A call that raised in one turn of a loop, and was made again in a later one."""

    one: Handled
    loop: _Loop
    turns: list[int]  # LINE steps at which the turns' first lines ran
    raised: Step  # the exception where the loop's own frame met it
    again: int  # LINE step of the call's statement in a later turn
    siblings: int  # healthy requests that ran the loop, all with fewer turns
    most: int


def reconsider(scene: Scene, where: Site, verdict: Verdict, company: Company) -> None:
    """Named beside the cause; before it where a value that only another service knows made it fail, and that service
    was sent another call the second time: what made it another is to blame."""
    if verdict.status == "verified":
        return
    named: list[Origin] = []
    for one in _unusual(scene, where, company):
        retry = _retry(scene, one, company)
        made = _changed(scene, retry) if retry is not None else None
        if retry is not None and made is not None and _asked(scene, retry, verdict):
            _take(verdict, _origin(where, *made, says=_says_changed(retry, made[0])))
        elif made is not None and retry is not None:
            named.append(_origin(where, *made, says=_says_changed(retry, made[0])))
        if retry is not None:
            named.append(_of_loop(where, retry.one.by, retry.loop, (len(retry.turns), retry.siblings, retry.most)))
        named.append(_of_handler(scene, where, one, company))
    verdict.others += (named or list(_longer(scene, where, company)))[:_MOST_NAMED]


def _take(verdict: Verdict, origin: Origin) -> None:
    before = [verdict.origin] if verdict.status == "likely" and verdict.origin is not None else []
    verdict.others[:0] = before
    verdict.status, verdict.origin, verdict.says = "likely", origin, origin.end.says
    verdict.doubts, verdict.unknown = ["that the failure follows from it is not recorded"], []


def _origin(where: Site, link: Link, point: Point, says: str) -> Origin:
    start = Link(where.point.frame, where.line, where.raised, "", None, ran=where.point.step)
    return Origin([start, link], End(Kind.COMPUTED, says), point, link.value)


def _of_loop(where: Site, frame: Frame, loop: _Loop, counts: tuple[int, int, int]) -> Origin:
    turns, siblings, most = counts
    says = f"it went round {turns} times; in {siblings} healthy siblings at most {most}"
    link = Link(frame, loop.lineno, frame.last_step, "", None, says, ran=-1)
    return _origin(where, link, where.point, says)


def _of_handler(scene: Scene, where: Site, one: Handled, company: Company) -> Origin:
    line = one.handler.lineno if one.handler is not None else one.handled.line
    seen = compare(scene, company, one)
    says = f"{short_type(one.kind)} was handled here; none of {seen.ran} healthy siblings that ran {_at(one)} raised it"
    link = Link(one.by, line, one.handled.index, "", None, ran=one.handled.index)
    return _origin(where, link, where.point, says)


def _at(one: Handled) -> str:
    return f"{one.frame.code.path.rpartition('/')[2]}:{one.raised.line}"


# -- exceptions handled here only


def _unusual(scene: Scene, where: Site, company: Company) -> Iterator[Handled]:
    """Those handled before the failure that no healthy request raised at that line, though at least a few ran it."""
    before = [one for one in handled(scene) if one.handled.index < where.raised]
    for one in before[-_MOST_HANDLED:]:
        seen = compare(scene, company, one)
        if seen.ran >= _LEAST and not seen.raised:
            yield one


# -- loops


def _longer(scene: Scene, where: Site, company: Company) -> Iterator[Origin]:
    """Loops that went round more often than in any healthy request, in the frames that wait for the failing line."""
    for frame in _stack(scene, where.point.frame):
        scope = scene.scope(frame)
        for loop in ast.walk(scope) if scope is not None and frame.level == "lines" else ():
            if not isinstance(loop, ast.For | ast.AsyncFor | ast.While):
                continue
            turns = len(_turns(scene, frame, loop))
            siblings, most = _usual(scene, frame, loop, company) if turns > 1 else (0, 0)
            if siblings >= _LEAST and turns > most:
                yield _of_loop(where, frame, loop, (turns, siblings, most))


def _stack(scene: Scene, frame: Frame) -> Iterator[Frame]:
    step = frame.last_step
    for _ in range(_CALLERS):
        yield frame
        caller = scene.flow.caller(frame, step)
        if caller is None:
            return
        frame, step = caller.frame, caller.step


# -- calls made again


def _retry(scene: Scene, one: Handled, company: Company) -> _Retry | None:
    text, scope = scene.text_of(one.by), scene.scope(one.by)
    met = _met(scene, one)
    statement = scene.statement(one.by, met.line) if met is not None else None
    if text is None or scope is None or met is None or statement is None:
        return None
    loop = next(
        (outer for outer in text.above(statement) if isinstance(outer, ast.For | ast.AsyncFor | ast.While)), None
    )
    if loop is None:
        return None
    turns = _turns(scene, one.by, loop)
    later = _lines(scene, one.by, one.handled.index)
    again = next((index for index in later if scene.statement(one.by, scene.step(index).line) is statement), None)
    if again is None:
        return None
    siblings, most = _usual(scene, one.by, loop, company)
    if siblings < _LEAST or len(turns) <= most:
        return None
    return _Retry(one, loop, turns, met, again, siblings, most)


def _met(scene: Scene, one: Handled) -> Step | None:
    """Where the exception came into the frame that handled it."""
    if one.frame is one.by:
        return one.raised
    own = scene.steps_between(one.by, one.raised.index, one.handled.index + 1)
    steps = (scene.step(index) for index in own)
    return next(
        (step for step in steps if step.kind is StepKind.RAISE and step.exception == one.raised.exception), None
    )


def _lines(scene: Scene, frame: Frame, after: int) -> list[int]:
    own = scene.steps_between(frame, after, len(scene.execution.steps))
    return [index for index in own if scene.step(index).kind is StepKind.LINE]


def _turns(scene: Scene, frame: Frame, loop: _Loop) -> list[int]:
    return [index for index in _lines(scene, frame, -1) if scene.step(index).line == loop.body[0].lineno]


def _usual(scene: Scene, frame: Frame, loop: _Loop, company: Company) -> tuple[int, int]:
    """How many healthy requests ran the loop, and their most turns in one call."""
    spot, counts = Spot.of(scene, frame, loop.body[0].lineno), list[int]()
    for sibling in company.siblings():
        frames = {one.activation: one for one, _ in visits(sibling, spot).ran}
        if frames:
            counts.append(max(len(_turns(sibling, one, loop)) for one in frames.values()))
    return len(counts), max(counts, default=0)


def _changed(scene: Scene, retry: _Retry) -> tuple[Link, Point] | None:
    """The only line of the loop's body that gave the call another value than the first time."""
    frame = retry.one.by
    text, scope = scene.text_of(frame), scene.scope(frame)
    statement = scene.statement(frame, retry.raised.line)
    first = scene.line_before(frame, retry.raised.index)
    if text is None or scope is None or statement is None or first is None:
        return None
    found: dict[int, tuple[Link, Point]] = {}
    used = {one.id for one in own_nodes(statement) if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Load)}
    for name in sorted(used):
        old, new = (scene.binding(frame, name, index) for index in (first, retry.again))
        if old is None or new is None or not _differ(old.value, new.value):
            continue
        given = text.given(scope, new.line, name) if new.line else None
        if given is None or given.source is None or given.how != "assigned" or not _within(retry.loop, given.statement):
            return None  # it counts the turns, or comes from elsewhere: it is meant to be another
        ran = scene.ran(frame, new.line, new.written_at)
        at = new.written_at if ran is None else ran
        link = Link(frame, new.line, new.written_at, name, new.value, ran=at)
        found[new.line] = link, Point(frame, given.source, at, new.written_at)
    return next(iter(found.values())) if len(found) == 1 else None


def _within(loop: _Loop, statement: ast.stmt) -> bool:
    return loop.body[0].lineno <= statement.lineno <= (loop.body[-1].end_lineno or 0)


def _differ(old: Value, new: Value) -> bool:
    one, other = digest(old), digest(new)
    return one is not None and other is not None and one != other


def _says_changed(retry: _Retry, link: Link) -> str:
    kind, count = short_type(retry.one.kind), len(retry.turns)
    again = f"the call at line {retry.raised.line} was made again after {kind}, with another {link.name}"
    return f"{again}; {count} turns, at most {retry.most} in {retry.siblings} healthy siblings"


def _asked(scene: Scene, retry: _Retry, verdict: Verdict) -> bool:
    """Whether the failing value came, by code that is not recorded, from the service to which the call was sent."""
    if verdict.status != "likely" or verdict.origin is None or verdict.origin.end.kind is not Kind.OPAQUE:
        return False
    entry = scene.entry(retry.raised)
    spans = [
        scene.sent(retry.one.frame.process, retry.turns[0], retry.one.handled.index, entry),
        scene.sent(retry.one.frame.process, retry.again, len(scene.execution.steps), entry),
    ]
    made = scene.execution.processes[verdict.origin.made.frame.process].service
    return all(one is not None and made in _services(scene, one) for one in spans)


def _services(scene: Scene, span: Span) -> set[str]:
    return {one.service for one in scene.parts_below(span)}
