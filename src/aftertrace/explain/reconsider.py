"""A cause that is only likely, held against what else the failing value was made of: lines that lost something on the
way, and what the program read from where nothing is recorded."""

from __future__ import annotations

import ast

from aftertrace.explain import lineage, lossy
from aftertrace.explain.blame import Verdict
from aftertrace.explain.company import Company
from aftertrace.explain.digest import digest
from aftertrace.explain.hops import End, Kind, Link, Origin
from aftertrace.explain.likewise import Spot, visits
from aftertrace.explain.lossy import Loss
from aftertrace.explain.scene import Scene
from aftertrace.explain.suspects import Site
from aftertrace.model import Value
from aftertrace.reconstruct import text
from aftertrace.reconstruct.execution import Frame
from aftertrace.wire.equality import content

_LEAST = 3  # healthy requests that had another value


def reconsider(scene: Scene, where: Site, verdict: Verdict, company: Company) -> None:
    """A line that lost something, as no healthy request did, stands before those that only computed with what it made;
    so does what was read from the module's own state, where all healthy requests read something else: the code and its
    constants are the same in them."""
    if verdict.status != "likely" or verdict.origin is None:
        return
    way, doubt = _lost(scene, where, verdict, company), "the line may be meant so"
    if way is None and verdict.origin.end.kind is Kind.COMPUTED:
        way, doubt = _read(scene, verdict, company), "a line that computed with it may be what is wrong"
    if way is None:
        return
    before = verdict.origin
    verdict.origin, verdict.says = way, way.end.says
    verdict.others = [one for one in (before, *verdict.others) if not _same(one.made, way.made)]
    verdict.doubts = [doubt]


def _same(one: Link, other: Link) -> bool:
    return (one.frame.process, one.frame.code.path, one.line) == (
        other.frame.process,
        other.frame.code.path,
        other.line,
    )


# -- what was lost


def _lost(scene: Scene, where: Site, verdict: Verdict, company: Company) -> Origin | None:
    ways = [one for one in (verdict.origin, *verdict.others, *verdict.behind.made) if one is not None]
    called = verdict.behind.calls
    frames = {(link.frame.process, link.frame.activation): link.frame for one in ways for link in one.links}
    frames |= {(one.process, one.activation): one for one, _ in called}
    as_bytes = any(_is_bytes(link.value) for one in ways for link in one.links)
    losses = lossy.find(scene, company, frames.values(), where.raised, as_bytes=as_bytes)
    return next((found for loss in losses if (found := _through(ways, called, loss)) is not None), None)


def _through(ways: list[Origin], called: list[tuple[Frame, Origin]], loss: Loss) -> Origin | None:
    """The shortest way that went through the call of a line, with that line at its end."""
    found: list[list[Link]] = []
    for one in ways:
        own = [n for n, link in enumerate(one.links) if link.frame is loss.frame]
        at = max((n for n in own if one.links[n].step >= loss.step or one.links[n].line == loss.line), default=-1)
        if at >= 0:
            found.append(one.links[: at + 1] if one.links[at].line != loss.line else one.links[:at])
    found += [one.links for frame, one in called if frame is loss.frame]
    links = min(found, key=len, default=None)
    if links is None:
        return None
    link = Link(loss.frame, loss.line, loss.step, loss.name, loss.value, loss.told, ran=loss.step)
    return Origin([*links, link], End(Kind.COMPUTED, loss.told, loss.line), loss.point, loss.value)


def _is_bytes(value: Value | None) -> bool:
    return value is not None and isinstance(content(value).scalar, bytes)


# -- what was read


def _read(scene: Scene, verdict: Verdict, company: Company) -> Origin | None:
    found: list[Origin] = []
    for one in verdict.behind.made:
        if lineage.held_by_module(one) and one.made.value is not None and (told := _elsewhere(scene, one, company)):
            end = End(Kind.OPAQUE, f"read from {ast.unparse(one.point.node)}, which is not recorded; {told}")
            found.append(Origin(one.links, end, one.point, one.value))
    return found[0] if len(found) == 1 else None


def _elsewhere(scene: Scene, origin: Origin, company: Company) -> str:
    """What healthy requests had there; "" where one had the same, or too few are known."""
    made = origin.made
    own = digest(made.value) if made.value is not None else None
    node = ast.Name(made.name, ast.Load(), lineno=made.line, col_offset=0)
    shown: list[str] = []
    count = 0
    for sibling in company.siblings():
        values = list(visits(sibling, Spot.of(scene, made.frame, made.line)).values(node, after=True))
        if any(digest(one) == own for one in values):
            return ""
        count += bool(values)
        shown += [text.of(one, 20) for one in values]
    known = ", ".join(list(dict.fromkeys(shown))[:3])
    return f"{count} healthy siblings read {known}" if own is not None and count >= _LEAST else ""
