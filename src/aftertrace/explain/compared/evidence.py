"""What healthy siblings, and the other failures of the group, had at the line that is called the cause.

A sibling that had the same value there and did not fail speaks against the cause: what was verified is then likely.
"""

from __future__ import annotations

import ast
from collections.abc import Hashable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

from aftertrace.explain.cause.hops import Kind, Link
from aftertrace.explain.cause.inquiry import Inquiry
from aftertrace.explain.compared.digest import digest
from aftertrace.explain.compared.likewise import Spot, Visits, visits
from aftertrace.explain.scene.company import Company, group_of
from aftertrace.explain.scene.likeness import ABSENT, Key, Keys, part
from aftertrace.explain.scene.scene import Scene
from aftertrace.model import Value
from aftertrace.reconstruct import text
from aftertrace.reconstruct.execution import StepKind

_SHOWN = 3  # values of siblings
_MEMBERS = 8  # of the group
_LONGEST = 400  # characters of an expression that is looked for in other requests


@dataclass(frozen=True, slots=True)
class Evidence:
    """``count`` of ``of`` requests. ``kind``: other-value, same-value (it speaks against the cause), not-run, unseen,
    group-value."""

    says: str
    count: int
    of: int
    kind: str

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def gather(scene: Scene, found: Inquiry, company: Company) -> list[Evidence]:
    """For the cause that was found, if it is a line with a value."""
    link, default = _cause(found)
    if link is None or link.value is None:
        return []
    place = _Place.at(scene, link)
    own = digest(link.value)
    if place is None:
        return []
    return [*_siblings(company, place, own, default=default), *_members(scene, company, place, own)]


def weigh(found: Inquiry, evidence: list[Evidence]) -> None:
    """Lowers what siblings speak against, with the reason."""
    for one in evidence:
        if one.kind == "same-value" and one.count:
            judged = found.finding or found.verdict
            judged.status = "likely" if judged.status == "verified" else judged.status
            judged.doubts.append(one.says)


def _cause(found: Inquiry) -> tuple[Link | None, bool]:
    """The line of the cause, and whether it took a default."""
    if found.finding is not None:
        swallowed = found.finding.kind == "swallowed" and found.finding.status != "unknown"
        return (found.finding.links[0] if swallowed and found.finding.links else None), False
    verdict = found.verdict
    if verdict.status == "unknown" or verdict.origin is None:
        return None, False
    return verdict.origin.made, verdict.origin.end.kind is Kind.DEFAULT


@dataclass(frozen=True, slots=True)
class _Place:
    """An expression at a line; ``node`` None: what the line's function returned there, or the part at ``keys``."""

    spot: Spot
    name: str
    node: ast.expr | None
    after: bool  # once the line had run
    keys: Keys = ()

    @classmethod
    def at(cls, scene: Scene, link: Link) -> _Place | None:
        statement = scene.statement(link.frame, link.line)
        spot = Spot.of(scene, link.frame, link.line)
        if not spot.source:
            return None
        if not link.name:
            return cls(spot, "", None, after=True) if isinstance(statement, ast.Return) else None
        try:
            node = ast.parse(link.name[: _LONGEST + 1], mode="eval").body if len(link.name) <= _LONGEST else None
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            node = None
        if node is None:
            return None
        keys = _of_result(node, link.frame.code.name)
        if keys is not None:
            return cls(spot, link.name, None, after=True, keys=keys)
        return cls(spot, link.name, node, after=statement is not None and _assigns(statement, node))

    def values(self, found: Visits) -> Iterator[Value]:
        if self.node is not None:
            yield from found.values(self.node, after=self.after)
            return
        for frame, index in found.ran:
            own = found.scene.steps_between(frame, index, len(found.scene.execution.steps))
            after = found.scene.step(own[0]) if own else None
            if after is not None and after.kind is StepKind.RETURN and after.value is not None:
                value = part(after.value, self.keys)
                if value is not None and value is not ABSENT:
                    yield value

    def word(self) -> str:
        return self.name or f"{self.spot.code.name}()"


def _of_result(node: ast.expr, function: str) -> Keys | None:
    """The part of a function's result that ``find()["mail"]`` names; None for any other expression."""
    keys: list[Key] = []
    while isinstance(node, ast.Attribute | ast.Subscript):
        if isinstance(node, ast.Attribute):
            keys.append(Key(node.attr, attribute=True))
        elif isinstance(node.slice, ast.Constant):
            keys.append(Key(node.slice.value if node.slice.value is not ... else None))
        else:
            return None
        node = node.value
    named = isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == function
    return tuple(reversed(keys)) if named else None


def _assigns(statement: ast.stmt, node: ast.expr) -> bool:
    """Whether a statement gives the name its value."""
    name = next((one.id for one in ast.walk(node) if isinstance(one, ast.Name)), "")
    bound = (one for one in ast.walk(statement) if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Store))
    return any(one.id == name for one in bound)


@dataclass(slots=True)
class _Counts:
    with_value: int = 0  # requests in which the value there is recorded
    same: int = 0
    shown: list[str] | None = None


def _count(scenes: Iterator[Scene], place: _Place, own: Hashable | None) -> tuple[_Counts, int, int, int]:
    counts, asked, ran, unseen = _Counts(shown=[]), 0, 0, 0
    for scene in scenes:
        asked += 1
        found = visits(scene, place.spot)
        ran += bool(found.ran)
        unseen += not found.ran and found.called and found.unseen
        values = list(place.values(found))
        known = [(one, mark) for one in values if (mark := digest(one)) is not None]
        if not known or own is None:
            continue
        counts.with_value += 1
        if any(mark == own for _, mark in known):
            counts.same += 1
        elif counts.shown is not None:
            counts.shown.append(text.of(known[0][0], 30))
    return counts, asked, ran, unseen


def _siblings(company: Company, place: _Place, own: Hashable | None, *, default: bool) -> Iterator[Evidence]:
    counts, asked, ran, unseen = _count(company.siblings(), place, own)
    if not asked:
        return
    other = counts.with_value - counts.same
    if other:
        shown = ", ".join(_distinct(counts.shown or []))
        had = "found one there" if default else f"had another {place.word()} there"
        says = f"{other} of {counts.with_value} healthy siblings {had} ({shown})"
        yield Evidence(says, other, counts.with_value, "other-value")
    if counts.same:
        says = (
            f"{counts.same} of {counts.with_value} healthy siblings had the same {place.word()} there, and did not fail"
        )
        yield Evidence(says, counts.same, counts.with_value, "same-value")
    if not ran and unseen:
        says = f"{unseen} of {asked} healthy siblings called it without recorded lines: what they had there is unknown"
        yield Evidence(says, unseen, asked, "unseen")
    elif not ran:
        yield Evidence(f"none of {asked} healthy siblings ran this line", asked, asked, "not-run")


def _members(scene: Scene, company: Company, place: _Place, own: Hashable | None) -> Iterator[Evidence]:
    group = group_of(scene.execution)
    if not group:
        return
    counts, _, _, _ = _count(company.members(group, _MEMBERS), place, own)
    if counts.with_value:
        says = f"{counts.same} of {counts.with_value} other failures of its group had the same {place.word()} there"
        yield Evidence(says, counts.same, counts.with_value, "group-value")


def _distinct(shown: list[str]) -> list[str]:
    once = list(dict.fromkeys(shown))
    return once[:_SHOWN] + ["..."] * (len(once) > _SHOWN)
