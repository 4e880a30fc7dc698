"""What sets failing requests apart from healthy ones: each fact of one failing request counted in all of them.

With one failing request against n healthy ones no fact has a p below 1 / (n + 1): the others of its group make it
better. All comparisons made are counted into q. A value that is another one in most healthy requests too (an id, a
time) says nothing by being new; its type, its sign and how it is made still do.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, field

from aftertrace.explain.compared.contexts import Contexts
from aftertrace.explain.compared.incidental import incidental
from aftertrace.explain.compared.profile import RESULT, Fact, Held, Place, Profile, held, says_of
from aftertrace.explain.compared.statistics import adjusted, fisher
from aftertrace.model import Value

_NOVEL = 0.2  # share of healthy requests with a value of their own from which on one more is no news
_SEPARATES = 0.2  # share of the other side that may have a fact too
_TO_SAY_HOW = 3  # healthy requests, at least, to say how a text is made otherwise
_MANY = 2  # times as often as in any healthy request
_TRAITS = ("is", "empty", "type", "sign", "made")
MOST_FACTS = 20_000


@dataclass(frozen=True, slots=True)
class Count:
    """How many requests have a fact, of those whose recordings say."""

    count: int
    of: int


@dataclass(slots=True)
class Difference:
    """``index``: the subject's step, -1: it lacks what healthy ones have. ``trait`` of a value: is, empty, type, sign,
    made."""

    fact: Fact
    index: int
    failing: Count
    healthy: Count
    p: float
    q: float = 1.0
    held: Held | None = None
    trait: str = ""
    there: list[tuple[Value, int]] = field(default_factory=list)  # values of healthy requests, and in how many
    lines: list[int] = field(default_factory=list)  # to which healthy requests went; which they ran
    also: int = 0  # further places at which the same shows
    times: tuple[int, int] = (0, 0)  # how often here, and at most in a healthy request

    @property
    def weak(self) -> bool:
        """How a text is made is another in many requests, where names are among what it is made of."""
        return self.trait == "made"

    @property
    def divides(self) -> bool:
        """It is so here, and in no healthy request."""
        return self.index >= 0 and not self.healthy.count


@dataclass(slots=True)
class Contrast:
    """``differences``: the best separating first, of equal ones the earliest. ``first``: the earliest that no healthy
    request shows."""

    differences: list[Difference]
    first: Difference | None
    compared: int
    varying: set[tuple[int, str]]  # (context, name) of values that are others in healthy requests too
    cut: list[str]


def contrast(contexts: Contexts, subject: Profile, failing: Sequence[Profile], healthy: Sequence[Profile]) -> Contrast:
    """``failing``: the other requests of its group, without the subject."""
    work = _Work(contexts, subject, [subject, *failing], healthy)
    found = [*work.present(), *work.values(), *work.absent(), *work.more_often()]
    for one, q in zip(found, adjusted([one.p for one in found], work.compared), strict=True):
        one.q = q
    shown = _once(sorted(found, key=lambda one: (one.index < 0, one.index)))
    divides = [one for one in shown if one.divides and one.fact.kind != "statement" and not one.times[0]]
    first = min(divides, key=lambda one: (one.weak, one.index), default=None)
    shown.sort(key=lambda one: (one.q, one.p, one.index < 0, one.weak, one.index))
    cut = [f"only the first {MOST_FACTS:,} facts were compared"] if work.compared >= MOST_FACTS else []
    passed_over = sum(one.cut for one in (subject, *failing, *healthy))
    cut += [f"{passed_over:,} later visits of the same lines were compared by their lines only"] if passed_over else []
    return Contrast(shown, first, work.compared, work.varying, cut)


class _Work:
    def __init__(
        self, contexts: Contexts, subject: Profile, failing: Sequence[Profile], healthy: Sequence[Profile]
    ) -> None:
        self.contexts, self.subject, self.failing, self.healthy = contexts, subject, failing, healthy
        self.compared = 0
        self.varying: set[tuple[int, str]] = set()
        self._next = [_successors(one) for one in healthy]

    def _count(self, fact: Fact, among: Sequence[Profile]) -> Count:
        asked = [one for one in among if one.applies(fact, self.contexts)]
        return Count(sum(fact in one.first for one in asked), len(asked))

    def _table(self, fact: Fact) -> tuple[Count, Count, float] | None:
        """None: no healthy request says anything of it."""
        if self.compared >= MOST_FACTS:
            return None
        healthy = self._count(fact, self.healthy)
        if not healthy.of:
            return None
        failing = self._count(fact, self.failing)
        self.compared += 1
        return failing, healthy, _p(failing, healthy)

    # -- what it did

    def present(self) -> Iterator[Difference]:
        """Branches, calls, exceptions and statements of the subject that healthy requests have rarely."""
        for fact, index in self.subject.first.items():
            if fact.kind == "line" or not self.subject.applies(fact, self.contexts):
                continue
            table = self._table(fact)
            if table is not None and table[1].count <= _SEPARATES * table[1].of and _more(table[0], table[1]):
                one = Difference(fact, index, *table)
                one.lines = self._went(fact)
                yield one

    def _went(self, fact: Fact) -> list[int]:
        """Where healthy requests went on from a branch, most of them first."""
        if fact.kind != "branch" or not isinstance(fact.what, tuple):
            return []
        ways = Counter(line for one in self._next for line in one.get((fact.context, fact.what[0]), ()))
        return [line for line, _ in ways.most_common(4)]

    def absent(self) -> Iterator[Difference]:
        """Lines, calls and statements that healthy requests have, and the subject lacks."""
        facts = Counter(
            fact
            for one in self.healthy
            for fact in one.first
            if fact.kind in {"line", "call", "statement"} and fact not in self.subject.first
        )
        for fact in sorted(facts, key=lambda one: (one.context, f"{one.what}")):
            if 2 * facts[fact] < len(self.healthy) or not self.subject.applies(fact, self.contexts):
                continue
            table = self._table(fact)
            if table is not None and table[1].count >= (1 - _SEPARATES) * table[1].of and _more(table[1], table[0]):
                yield Difference(fact, -1, *table)

    def more_often(self) -> Iterator[Difference]:
        """Calls and statements of which the subject has more than twice as many as any healthy request."""
        for fact, count in self.subject.counts.items():
            there = [one.counts[fact] for one in self.healthy if fact in one.counts]
            if len(there) < 2 or count <= _MANY * max(there):
                continue
            of = [one for one in self.failing if fact in one.counts]
            failing = Count(sum(one.counts[fact] > max(there) for one in of), len(of))
            healthy = Count(0, len(there))
            self.compared += 1
            one = Difference(fact, self.subject.first.get(fact, -1), failing, healthy, _p(failing, healthy))
            one.times = (count, max(there))
            yield one

    # -- what it worked with

    def values(self) -> Iterator[Difference]:
        """For each value of the subject the trait that separates it best."""
        places = sorted(self.subject.values, key=lambda one: self.subject.values[one][0][0])
        for place in places:
            if self.compared >= MOST_FACTS:
                return
            if place.line == 0 and place.name != RESULT and not self._only_ends(place):
                continue
            there = [_named(one, place) for one in self.healthy if place in one.values]
            if not there:
                continue
            others = [_named(one, place) for one in self.failing[1:] if place in one.values]
            found = [
                one
                for name, own in _named(self.subject, place).items()
                for one in self._value(place, own, _of(others, name), _of(there, name))
            ]
            yield from (one for one in found if not _told_by_parts(one, found))

    def _only_ends(self, place: Place) -> bool:
        """Where lines are not recorded on one side, what names held at the end of the call is compared instead."""
        here = self.subject.lined.get(place.context, False)
        return not here or not any(one.lined.get(place.context, False) for one in self.healthy)

    def _value(
        self, place: Place, own: list[Held], others: list[list[Held]], there: list[list[Held]]
    ) -> Iterator[Difference]:
        if not there:
            return
        sides = [[set(_says(one)) for one in side] for side in (others, there)]
        best: Difference | None = None
        for (trait, what), at in _says(own).items():
            known = Count(sum((trait, what) in one for one in sides[1]), sum(_has(one, trait) for one in sides[1]))
            if known.of < (_TO_SAY_HOW if trait == "made" else 1):
                continue
            if self._varies(trait, what, sides[1], at):
                continue
            of = [one for one in sides[0] if _has(one, trait)]
            failing = Count(1 + sum((trait, what) in one for one in of), 1 + len(of))
            self.compared += 1
            if known.count > _SEPARATES * known.of or not _more(failing, known):
                continue
            fact = Fact("value", place.context, (at.place, trait, what))
            one = Difference(fact, at.step, failing, known, _p(failing, known), held=at, trait=trait)
            if best is None or (one.p, _TRAITS.index(trait)) < (best.p, _TRAITS.index(best.trait)):
                best = one
        if best is not None:
            best.there = _values(there)
            yield best

    def _varies(self, trait: str, what: Hashable, there: list[set[tuple[str, Hashable]]], at: Held) -> bool:
        """Whether a new value is to be expected: many healthy requests have one that no other has (Good 1953)."""
        seen = Counter(one for side in there for one in side if one[0] == trait)
        many = sum(count == 1 for count in seen.values()) > _NOVEL * len(there) >= 2 * _NOVEL
        if trait == "is" and len(seen) > 1 and (many or (trait, what) in seen):
            self.varying.add((at.place.context, at.place.name))
        return (many and (trait, what) not in seen) or (trait in {"is", "made"} and incidental(at.value))


def _p(failing: Count, healthy: Count) -> float:
    return fisher(failing.count, failing.of - failing.count, healthy.count, healthy.of - healthy.count)


def _more(one: Count, other: Count) -> bool:
    return one.count * max(other.of, 1) > other.count * one.of


def _successors(one: Profile) -> dict[tuple[int, int], set[int]]:
    found: dict[tuple[int, int], set[int]] = {}
    for fact in one.first:
        if fact.kind == "branch" and isinstance(fact.what, tuple):
            found.setdefault((fact.context, fact.what[0]), set()).add(fact.what[1])
    return found


def _named(one: Profile, place: Place) -> dict[str, list[Held]]:
    found: dict[str, list[Held]] = {}
    for value in held(one, place):
        found.setdefault(value.place.name, []).append(value)
    return found


def _of(named: list[dict[str, list[Held]]], name: str) -> list[list[Held]]:
    return [one[name] for one in named if name in one]


def _says(values: list[Held]) -> dict[tuple[str, Hashable], Held]:
    found: dict[tuple[str, Hashable], Held] = {}
    for one in values:
        for said in says_of(one.value):
            found.setdefault(said, one)
    return found


def _told_by_parts(one: Difference, found: list[Difference]) -> bool:
    """A part of it differs at the same step, and separates as well: that says more than the whole."""
    if one.held is None:
        return False
    name = one.held.place.name
    parts = [other for other in found if other.held and other.held.place.name.startswith((f"{name}.", f"{name}["))]
    return any(other.index == one.index and other.p <= one.p and not other.weak for other in parts)


def _has(side: set[tuple[str, Hashable]], trait: str) -> bool:
    return any(one == trait for one, _ in side)


def _values(there: list[list[Held]]) -> list[tuple[Value, int]]:
    """Values of the healthy requests, the most common first."""
    counts: Counter[Hashable] = Counter()
    shown: dict[Hashable, Value] = {}
    for values in there:
        once: dict[Hashable, Value] = {
            repr(said[0]) if (said := says_of(one.value)) else one.value.type: one.value for one in values
        }
        counts.update(once.keys())
        shown |= once
    return [(shown[key], count) for key, count in counts.most_common(8)]


def _once(found: list[Difference]) -> list[Difference]:
    """A value that is passed on differs at each place: it is told where it shows first. Lines of one function that did
    not run are one."""
    once: dict[Hashable, Difference] = {}
    for one in found:
        key: Hashable = one.fact if not one.times[0] else (one.fact, "times")
        if one.fact.kind in {"raised", "handled"}:
            key = ("raised", one.fact.what[1] if isinstance(one.fact.what, tuple) else "")
        elif one.held is not None and (said := says_of(one.held.value)):
            key = (said[0], one.trait)
        elif one.fact.kind == "line":
            key = ("line", one.fact.context, one.failing, one.healthy)
        known = once.setdefault(key, one)
        if one.fact.kind == "line" and isinstance(one.fact.what, int):
            known.lines.append(one.fact.what)
        elif known is not one:
            known.also += 1
    return list(once.values())
