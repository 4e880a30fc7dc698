"""How long the requests of a route take: quantiles that need no tuning, forget, and never grow."""

from __future__ import annotations

import math

_PER_OCTAVE = 8  # steps of 9 %
_SHORTEST = 10  # octaves of ns: 1 us, below which all is one
_STEPS = 31 * _PER_OCTAVE  # up to 36 min
_FORGET_AT = 4096  # requests: then each counts half


class Latency:
    """Durations in ns, by their logarithm; ``longest`` of those that are not forgotten, ns."""

    __slots__ = ("_steps", "count", "longest")

    def __init__(self) -> None:
        self._steps: dict[int, float] = {}
        self.count = 0.0
        self.longest = 0

    def add(self, duration: int) -> None:
        step = _step(duration)
        self._steps[step] = self._steps.get(step, 0.0) + 1
        self.count += 1
        self.longest = max(self.longest, duration)
        if self.count >= _FORGET_AT:
            self._steps = {one: count / 2 for one, count in self._steps.items() if count >= 0.25}
            self.count = sum(self._steps.values())
            self.longest = min(self.longest, _until(max(self._steps)))

    def quantile(self, share: float) -> int:
        """ns, at most 9 % more than it is; 0 without any."""
        wanted, seen = share * self.count, 0.0
        for step in sorted(self._steps):
            seen += self._steps[step]
            if seen >= wanted:
                return _until(step)
        return 0


def _until(step: int) -> int:
    """ns at which a step ends."""
    return int(2 ** (_SHORTEST + (step + 1) / _PER_OCTAVE))


def _step(duration: int) -> int:
    if duration <= 1 << _SHORTEST:
        return 0
    return min(int((math.log2(duration) - _SHORTEST) * _PER_OCTAVE), _STEPS - 1)
