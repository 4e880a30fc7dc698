"""Healthy siblings: of each route a fair sample of the requests that went well, to be kept when one of it fails."""

from __future__ import annotations

import random
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

MOST = 24  # of a route
WINDOW_S = 300.0  # a sample is of so long, and of the one before
PAUSE_S = 60.0  # between two samples of a route that are kept
_MOST_ROUTES = 4096


@dataclass(slots=True)
class _Sample:
    """A reservoir: each of the ``seen`` requests is in it with the same chance (Vitter's algorithm R)."""

    began: float
    seen: int = 0
    chosen: list[bytes] = field(default_factory=list)

    def add(self, trace: bytes, chance: random.Random) -> None:
        self.seen += 1
        if len(self.chosen) < MOST:
            self.chosen.append(trace)
        elif (place := chance.randrange(self.seen)) < MOST:
            self.chosen[place] = trace


@dataclass(slots=True)
class _Route:
    now: _Sample
    before: _Sample | None = None
    taken: float = float("-inf")


class Siblings:
    """By (service, route). What is taken is not taken again: weights of all that was taken add up to what was seen."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, seed: int | None = None) -> None:
        self._clock = clock
        self._chance = random.Random(seed)  # noqa: S311 (no secret)
        self._routes: OrderedDict[tuple[str, str], _Route] = OrderedDict()

    def add(self, route: tuple[str, str], trace: bytes) -> None:
        """A request that went well."""
        now = self._clock()
        found = self._routes.get(route)
        if found is None:
            found = self._routes[route] = _Route(_Sample(now))
            if len(self._routes) > _MOST_ROUTES:
                self._routes.popitem(last=False)
        self._routes.move_to_end(route)
        if now - found.now.began > WINDOW_S:
            found.before, found.now = found.now, _Sample(now)
        found.now.add(trace, self._chance)

    def waiting(self, route: tuple[str, str]) -> int:
        """How many take() could give now, if all can still be had."""
        found = self._routes.get(route)
        if found is None or self._clock() - found.taken < PAUSE_S:
            return 0
        return min(sum(len(one.chosen) for one in (found.before, found.now) if one is not None), MOST)

    def take(self, route: tuple[str, str], held: Callable[[bytes], bool]) -> list[tuple[bytes, float]]:
        """Traces and for how many requests each stands; ``held`` says which can still be had. None while the last were
        taken a moment ago."""
        now = self._clock()
        found = self._routes.get(route)
        if found is None or now - found.taken < PAUSE_S:
            return []
        taken: list[tuple[bytes, float]] = []
        for sample in (found.before, found.now):
            chosen = [one for one in dict.fromkeys(sample.chosen) if held(one)] if sample is not None else []
            taken += [(one, sample.seen / len(chosen)) for one in chosen if sample is not None]
        if taken:
            found.before, found.now, found.taken = None, _Sample(now), now
        return taken[-MOST:]
