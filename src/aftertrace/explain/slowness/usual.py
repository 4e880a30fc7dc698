"""What is usual for a request's route: how long its healthy siblings took, in all, and for the same work."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from aftertrace.explain.scene.scene import Scene
from aftertrace.explain.slowness import repeats
from aftertrace.explain.slowness.path import Kind, Path, Row, critical
from aftertrace.explain.slowness.repeats import Parts, Place
from aftertrace.explain.slowness.stands import Stand, stands
from aftertrace.model import Span

MOST = 0.5  # of the path: what makes a request slow
LEAST_SIBLINGS = 5  # of which something is said to be usual
LEAST_PAIRS = 8  # of which a correlation is told


@dataclass(frozen=True, slots=True)
class Counted:
    """What a line did in each sibling that called its function: rounds, and ns of one of them."""

    counts: list[int]
    each: list[int]
    durations: list[int]  # of the requests, as ``counts``

    @property
    def usual_ns(self) -> int:
        """ns of all rounds in one of them, from the medians."""
        return quantile(sorted(self.counts), 0.5) * quantile(sorted(self.each), 0.5)

    def correlation(self) -> tuple[float, int] | None:
        """Pearson's r of how often the line ran and how long the request took, and of how many requests; None of fewer
        than eight, or where one of both does not vary."""
        if len(self.counts) < LEAST_PAIRS:
            return None
        r = pearson(self.counts, self.durations)
        return (r, len(self.counts)) if r is not None else None


class Usual:
    """The healthy siblings of a request, each with its critical path."""

    def __init__(self, siblings: Iterable[Scene], part: Span | None = None) -> None:
        """``part``: not the whole requests, but what has the name of this one in its service."""
        found = [(one, _path(one, part)) for one in siblings]
        self.siblings: list[tuple[Scene, Path]] = [(scene, path) for scene, path in found if path is not None]
        self.durations = sorted(path.duration_ns for _, path in self.siblings)
        self._rows: list[dict[tuple[str, Kind, str], int]] | None = None
        self._stands: list[tuple[Scene, list[Stand]]] | None = None

    @property
    def known(self) -> bool:
        """Whether there are enough to say what is usual."""
        return len(self.durations) >= LEAST_SIBLINGS

    @property
    def median_ns(self) -> int:
        return quantile(self.durations, 0.5)

    def doubts(self, took_ns: int, before_ns: int, duration_ns: int) -> list[str] | None:
        """Why it is not certain that a part of a request made it slow, which usually takes ``before_ns``: nothing where
        it is half of it, and half of what it took longer. None: it did not."""
        share = took_ns / duration_ns
        if self.known and 2 * (took_ns - before_ns) < duration_ns - self.median_ns:
            return None
        if share >= MOST:
            return []
        return [f"it made {share:.0%} of the request only"] if self.known and share >= MOST / 2 else None

    def to_json(self) -> dict[str, Any]:
        return {"p50_ns": self.median_ns, "p99_ns": quantile(self.durations, 0.99), "n": len(self.durations)}

    def total(self, row: Row) -> int:
        """ns that a row of the path has in a sibling's, the median."""
        if self._rows is None:
            self._rows = [{(one.service, one.kind, one.what): one.total_ns for one in path.rows()}
                          for _, path in self.siblings]  # fmt: skip
        return quantile(sorted(own.get((row.service, row.kind, row.what), 0) for own in self._rows), 0.5)

    def row(self, row: Row) -> tuple[int, int] | None:
        """(how often, ns each time), medians over the siblings that made the same statement or call."""
        found = list(repeats.usual([scene for scene, _ in self.siblings], row))
        if not found:
            return None
        return int(median(count for count, _ in found)), int(median(total // count for count, total in found))

    def counted(self, place: Place) -> Counted:
        """What a line did in the siblings that called its function, and of which nothing was lost."""
        found = Counted([], [], [])
        for scene, path in self.siblings:
            if scene.execution.gaps:
                continue
            own = repeats.at(scene, place)
            if own or repeats.ran(scene, place):
                most = max(own, key=lambda one: one.count, default=None)
                found.counts.append(most.count if most is not None else 0)
                found.durations.append(path.duration_ns)
                if most is not None:
                    found.each.append(most.each_ns)
        return found

    def stood(self, place: Place) -> list[int]:
        """How long each sibling that called a line's function stood at lines with this one among them, ns."""
        if self._stands is None:
            self._stands = [(scene, stands(scene, Parts(scene, path))) for scene, path in self.siblings]
        found = []
        for scene, own in self._stands:
            if repeats.ran(scene, place):
                fits = [one for one in own if place.line in one.lines]
                fits = [one for one in fits if repeats.place(scene, one.frame, place.line) == place]
                found.append(sum(one.total_ns for one in fits))
        return found


def _path(scene: Scene, part: Span | None) -> Path | None:
    if part is None:
        return critical(scene.flow.tree)
    own = [one for one in scene.execution.spans.values() if (one.service, one.name) == (part.service, part.name)]
    longest = max(own, key=lambda one: one.end_ns - one.start_ns, default=None)
    return critical(scene.flow.tree, root=longest) if longest is not None and longest.end_ns else None


def quantile(ordered: Sequence[int], share: float) -> int:
    """Of sorted numbers, the nearest rank; 0 of none."""
    return ordered[min(math.ceil(share * len(ordered)), len(ordered)) - 1] if ordered else 0


def pearson(a: Sequence[float], b: Sequence[float]) -> float | None:
    """The correlation of pairs; None where one side does not vary."""
    middle_a, middle_b = sum(a) / len(a), sum(b) / len(b)
    square_a = sum((one - middle_a) ** 2 for one in a)
    square_b = sum((one - middle_b) ** 2 for one in b)
    if square_a <= 0 or square_b <= 0:
        return None
    both = sum((x - middle_a) * (y - middle_b) for x, y in zip(a, b, strict=True))
    return both / math.sqrt(square_a * square_b)
