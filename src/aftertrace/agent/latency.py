"""How long the requests of a route take: quantiles that need no tuning, forget, and never grow."""

from __future__ import annotations

import math
from collections import deque

_PER_OCTAVE = 8  # steps of 9 %
_SHORTEST = 10  # octaves of ns: 1 us, below which all is one
_STEPS = 31 * _PER_OCTAVE  # up to 36 min
_FORGET_AT = 4096  # requests: then each counts half


KNOWN = 100  # requests, from which on quantiles are known and what is new waits
LAG_S = 30.0


class Latency:
    """Durations in ns, by their logarithm. What is new counts after half a minute, or once it is as much as all before:
    of a jam the first requests would else set the measure that the last and slowest are within."""

    __slots__ = ("_new", "_steps", "_waiting", "count")

    def __init__(self) -> None:
        self._steps: dict[int, float] = {}
        self.count = 0.0
        self._new: deque[tuple[int, dict[int, int]]] = deque()  # by second
        self._waiting = 0

    def add(self, duration: int, now: float = 0.0) -> None:
        """``now``: s of a clock that only goes forward."""
        step = _step(duration)
        if self.count < KNOWN:
            self._count(step, 1)
            return
        second = int(now)
        if not self._new or self._new[-1][0] != second:
            self._new.append((second, {}))
        steps = self._new[-1][1]
        steps[step] = steps.get(step, 0) + 1
        self._waiting += 1
        while self._new and (self._new[0][0] < now - LAG_S or self._waiting >= self.count):
            for one, times in self._new.popleft()[1].items():
                self._waiting -= times
                self._count(one, times)

    def _count(self, step: int, times: int) -> None:
        self._steps[step] = self._steps.get(step, 0.0) + times
        self.count += times
        if self.count >= _FORGET_AT:
            self._steps = {one: count / 2 for one, count in self._steps.items() if count >= 0.25}
            self.count = sum(self._steps.values())

    def quantile(self, share: float) -> int:
        """ns, at most 9 % more than it is; 0 without any."""
        wanted, seen = share * self.count, 0.0
        for step in sorted(self._steps):
            seen += self._steps[step]
            if seen >= wanted:
                return int(2 ** (_SHORTEST + (step + 1) / _PER_OCTAVE))
        return 0


def _step(duration: int) -> int:
    if duration <= 1 << _SHORTEST:
        return 0
    return min(int((math.log2(duration) - _SHORTEST) * _PER_OCTAVE), _STEPS - 1)
