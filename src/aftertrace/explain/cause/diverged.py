"""Where the request parts from healthy ones on the way to what failed, where its values alone say little.

Two questions, both answered with counts and neither a proof. What did healthy requests that came to the failing line,
and got by, have in the tests that decided the way of the failing value? And where that way ends in the dark: is what
was read there another value than in all of them?
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from aftertrace.explain.cause import suspects
from aftertrace.explain.cause.blame import Verdict
from aftertrace.explain.cause.hops import End, Kind, Link, Origin
from aftertrace.explain.cause.suspects import Site
from aftertrace.explain.compared.contexts import Contexts
from aftertrace.explain.compared.differ import contrast
from aftertrace.explain.compared.digest import digest
from aftertrace.explain.compared.likewise import Spot, visits
from aftertrace.explain.compared.profile import RESULT, profile
from aftertrace.explain.scene import texts
from aftertrace.explain.scene.company import Company
from aftertrace.explain.scene.scene import Point, Scene
from aftertrace.model import Value
from aftertrace.reconstruct import text
from aftertrace.reconstruct.execution import Frame

_LEAST = 3  # healthy requests that had another value
_NOVEL = 0.2  # share of them with a value of their own, from which on one more is no news
_MOST_LINKS = 60
_SHOWN = 3


@dataclass(frozen=True, slots=True)
class _Decider:
    """What a test on the way was made of, and the line that set it."""

    frame: Frame
    line: int
    node: ast.expr
    value: Value
    point: Point
    way: tuple[Link, ...]  # from the failure back to what the test led to


def reconsider(scene: Scene, where: Site, verdict: Verdict, company: Company) -> None:
    """Before what is likely only by itself stands what sets the request apart; the other is named beside it."""
    if verdict.status == "verified" or verdict.origin is None or not _hollow(verdict):
        return
    siblings = _came_by(scene, where, company)
    if len(siblings) < _LEAST:
        return
    found = _decided(scene, verdict, siblings) or _read(scene, verdict, siblings)
    if found is None:
        given_up = _give_up(scene, verdict, siblings)
        if verdict.status == "unknown":
            verdict.others[given_up:given_up] = _first(scene, where, siblings)
        return
    before = [verdict.origin] if verdict.status == "likely" else []
    verdict.others = [one for one in (*before, *verdict.others) if not _same(one.made, found.made)]
    verdict.status, verdict.origin, verdict.says, verdict.unknown = "likely", found, found.end.says, []
    verdict.doubts = ["that the failure follows from it is what healthy siblings suggest"]


def _give_up(scene: Scene, verdict: Verdict, siblings: Sequence[Scene]) -> bool:
    """A call that is not recorded gave the value, and nothing says that it should have been another one: it is named
    beside an unknown cause. False: it is no such call."""
    origin = verdict.origin
    if verdict.status != "likely" or origin is None or origin.end.kind is not Kind.OPAQUE:
        return False
    shared = 0
    if origin.made.value is not None and digest(origin.made.value) is not None:
        own, node = digest(origin.made.value), _parsed(origin.made.name)
        spot = Spot.of(scene, origin.made.frame, origin.made.line)
        found = [visits(one, spot).values(node, after=True) for one in siblings] if node is not None else []
        shared = sum(any(digest(value) == own for value in values) for values in found)
        if not shared:
            return False
    had = f"{shared} of {len(siblings)} healthy siblings had the same {origin.made.name}, and did not fail"
    verdict.status, verdict.says, verdict.doubts = "unknown", "nothing sets it apart from healthy requests", []
    verdict.others.insert(0, origin)
    verdict.unknown += [had if shared else f"whether {origin.made.name} was wrong: what it held was not captured whole"]
    return True


def _first(scene: Scene, where: Site, siblings: Sequence[Scene]) -> Iterator[Origin]:
    """The earliest branch, or result of a call, that none of them had, before the failing line itself."""
    contexts = Contexts()
    found = contrast(contexts, profile(scene, contexts), [], [profile(one, contexts) for one in siblings])
    before = [one for one in found.differences if one.divides and not one.weak and one.index < where.point.step]
    for one in sorted(before, key=lambda one: one.index):
        step = scene.step(one.index)
        frame = scene.execution.frame(step)
        is_result = one.held is not None and one.held.place.name.startswith(RESULT)
        if frame is None or not (one.fact.kind == "branch" or is_result):
            continue
        what = f"{frame.code.name}() gave what it gave" if is_result else "the way went on here as"
        says = f"{what} in none of {one.healthy.of} healthy siblings"
        value = one.held.value if one.held is not None else None
        link = Link(frame, step.line, step.index, "", value, says, ran=step.index)
        start = Link(where.point.frame, where.line, where.raised, "", None, ran=where.point.step)
        yield Origin([start, link], End(Kind.COMPUTED, says), where.point, value)
        return


def _parsed(name: str) -> ast.expr | None:
    try:
        return ast.parse(name, mode="eval").body
    except (SyntaxError, ValueError):
        return None


def _hollow(verdict: Verdict) -> bool:
    """Whether the line is named by nothing but that the value was made there, looked up in vain, or lost there."""
    origin = verdict.origin
    return origin is not None and origin.end.kind in {Kind.COMPUTED, Kind.OPAQUE, Kind.LITERAL, Kind.LOST}


def _same(one: Link, other: Link) -> bool:
    return (one.frame.process, one.frame.code.path, one.line) == (
        other.frame.process,
        other.frame.code.path,
        other.line,
    )


def _came_by(scene: Scene, where: Site, company: Company) -> list[Scene]:
    """Healthy requests that ran the failing line, or the test that led to it."""
    line = where.line
    source = scene.text_of(where.point.frame)
    statement = source.statement(where.node) if source is not None else None
    if source is not None and statement is not None and (isinstance(statement, ast.Raise) or where.answers):
        line = next((one.lineno for one in suspects.tests(source, statement)), line)
    spot = Spot.of(scene, where.point.frame, line)
    return [one for one in company.siblings() if visits(one, spot).ran]


# -- what decided the way


def _decided(scene: Scene, verdict: Verdict, siblings: Sequence[Scene]) -> Origin | None:
    """The earliest test on the way that was made of a value which none of them had."""
    deciders = sorted(_deciders(scene, verdict), key=lambda one: one.point.step)
    for one in deciders:
        told = _apart(scene, one, siblings)
        if told:
            name = ast.unparse(one.node)
            says = f"{name} was {text.of(one.value, 30)}, by which line {one.way[-1].line} ran; {told}"
            link = Link(one.frame, one.line, one.point.until, name, one.value, says, ran=one.point.step)
            return Origin([*one.way, link], End(Kind.COMPUTED, says), one.point, one.value)
    return None


def _deciders(scene: Scene, verdict: Verdict) -> Iterator[_Decider]:
    ways = [one for one in (verdict.origin, *verdict.others, *verdict.behind.made) if one is not None]
    seen: set[tuple[int, int, int]] = set()
    for way in ways:
        for number, link in enumerate(way.links[:_MOST_LINKS]):
            key = (link.frame.process, link.frame.activation, link.line)
            if key not in seen and not _same(link, way.links[0]):
                seen.add(key)
                yield from _tests(scene, link, tuple(way.links[: number + 1]))


def _tests(scene: Scene, link: Link, way: tuple[Link, ...]) -> Iterator[_Decider]:
    """What the innermost test is made of because of which a line ran."""
    source, statement = scene.text_of(link.frame), scene.statement(link.frame, link.line)
    if source is None or statement is None:
        return
    for test in suspects.tests(source, statement):
        ran = scene.ran(link.frame, test.lineno, link.step)
        own = scene.steps_between(link.frame, ran, len(scene.execution.steps)) if ran is not None else ()
        if ran is None or not own:
            continue
        at = Point(link.frame, test, ran, next((one for one in own if scene.step(one).line != test.lineno), own[0]))
        for node in texts.inputs(test):
            value = scene.evaluate(at, node)
            if value is None:
                continue
            yield replace(_setter(scene, at, node, value), way=way)


def _setter(scene: Scene, at: Point, node: ast.expr, value: Value) -> _Decider:
    """The line that gave a name its value; of anything else the test's own."""
    binding = scene.binding(at.frame, node.id, at.step) if isinstance(node, ast.Name) else None
    begun = scene.ran(at.frame, binding.line, binding.written_at) if binding is not None and binding.line else None
    if binding is None or begun is None:
        return _Decider(at.frame, at.node.lineno, node, value, at.to(node), ())
    source, scope = scene.text_of(at.frame), scene.scope(at.frame)
    given = source.given(scope, binding.line, binding.name) if source is not None and scope is not None else None
    made = given.source if given is not None and given.source is not None else node
    return _Decider(at.frame, binding.line, node, value, Point(at.frame, made, begun, binding.written_at), ())


def _apart(scene: Scene, one: _Decider, siblings: Sequence[Scene]) -> str:
    """What healthy requests had there; "" where one had the same, or each has a value of its own."""
    own = digest(one.value)
    shown: dict[object, str] = {}
    count = 0
    for sibling in siblings:
        values = list(visits(sibling, Spot.of(scene, one.frame, one.line)).values(one.node, after=_sets(one)))
        marks = {mark: value for value in values if (mark := digest(value)) is not None}
        if own in marks:
            return ""
        count += bool(marks)
        shown |= {mark: text.of(value, 20) for mark, value in marks.items()}
    if own is None or count < _LEAST or 2 * count < len(siblings) or len(shown) > max(1, _NOVEL * count):
        return ""
    known = ", ".join(list(dict.fromkeys(shown.values()))[:_SHOWN])
    return f"{known} in {count} of {len(siblings)} healthy siblings that came to the failing line"


def _sets(one: _Decider) -> bool:
    return isinstance(one.node, ast.Name)


# -- what was read where the way ends


def _read(scene: Scene, verdict: Verdict, siblings: Sequence[Scene]) -> Origin | None:
    """The line where the value was lost, if all of them had another one there."""
    origin = verdict.origin
    if origin is None or verdict.status != "unknown" or len(origin.links) < 2:  # the failing line itself
        return None
    made = origin.made
    node = _parsed(made.name)
    if node is None or made.value is None:
        return None
    told = _apart(scene, _Decider(made.frame, made.line, node, made.value, origin.point, ()), siblings)
    if not told:
        return None
    says = f"{made.name} was {text.of(made.value, 30)} here; {told}"
    return Origin(origin.links, End(Kind.OPAQUE, says), origin.point, origin.value)
