"""Medians of paired ratios with an interval, and whether anything may be concluded from them."""

from __future__ import annotations

import math
import random
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

RESAMPLES = 1000
SHARE = 0.95  # of resamples within the interval


@dataclass(frozen=True, slots=True)
class Estimate:
    """A ratio to bare (1.0: the same), and the interval that holds 95 % of its bootstrap."""

    value: float
    low: float
    high: float

    def to_json(self) -> dict[str, float]:
        return {"ratio": round(self.value, 4), "low": round(self.low, 4), "high": round(self.high, 4)}

    def times(self, other: Estimate) -> Estimate:
        """The ratio over two steps; the intervals' halves add up as independent errors, on the logarithm."""
        value = self.value * other.value
        down = math.hypot(math.log(self.value / self.low), math.log(other.value / other.low))
        up = math.hypot(math.log(self.high / self.value), math.log(other.high / other.value))
        return Estimate(value, value * math.exp(-down), value * math.exp(up))

    def plus(self, share: float) -> Estimate:
        return Estimate(self.value + share, self.low + share, self.high + share)

    def noise(self) -> float:
        """As a control, which should be 1.0: how far from it a ratio may lie and mean nothing."""
        return max(abs(self.low - 1), abs(self.high - 1))


def estimate(groups: Sequence[Sequence[float]], seed: int = 0) -> Estimate:
    """Of ratios that were measured in groups, each by other processes: the median of each group, and their mean.

    The bootstrap draws groups, and ratios within them, so that processes which differ from each other by chance widen
    the interval. Raises ValueError without a ratio.
    """
    groups = [group for group in groups if group]
    if not groups:
        raise ValueError("nothing was measured")
    chance = random.Random(seed)  # noqa: S311  # no secret
    middle = statistics.fmean(statistics.median(group) for group in groups)
    drawn = sorted(_resample(groups, chance) for _ in range(RESAMPLES))
    at = round(RESAMPLES * (1 - SHARE) / 2)
    return Estimate(middle, min(drawn[at], middle), max(drawn[-1 - at], middle))


def _resample(groups: Sequence[Sequence[float]], chance: random.Random) -> float:
    drawn = [chance.choice(groups) for _ in groups]
    return statistics.fmean(statistics.median(chance.choices(group, k=len(group))) for group in drawn)


def verdict(effect: Estimate, noise: float) -> str:
    """``+18 %``, or why nothing can be said: the effect is no larger than what two equal programs differ by."""
    share = effect.value - 1
    if abs(share) <= noise or effect.low <= 1 <= effect.high:
        return f"cannot tell (noise {noise:.1%})"
    return f"{share:+.1%}" if abs(share) < 0.1 else f"{share:+.0%}"


@dataclass(frozen=True, slots=True)
class Added:
    """A difference to bare in us, and what the control's difference may come to by chance alone; None: not measured."""

    value: float | None = None
    noise: float = 0.0

    @property
    def told(self) -> bool:
        return self.value is not None and abs(self.value) > self.noise


def added(mine: Sequence[Sequence[float]], bare: Sequence[Sequence[float]], share: float) -> list[float]:
    """Differences of a percentile, round by round; rounds without an answer are left out."""
    rounds = zip(mine, bare, strict=False)
    return [percentile(one, share) - percentile(other, share) for one, other in rounds if one and other]


def chance_of(differences: Sequence[float], seed: int = 0) -> float:
    """How far from 0 the median of a control's differences lies in 95 % of its resamples."""
    chance = random.Random(seed)  # noqa: S311  # no secret
    drawn = [abs(statistics.median(chance.choices(differences, k=len(differences)))) for _ in range(RESAMPLES)]
    return sorted(drawn)[round(RESAMPLES * SHARE)]


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which ``share`` of them lie; NaN without any."""
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)] if ordered else math.nan


def rounded(value: float | None, digits: int) -> Any:
    """For JSON, which knows no NaN."""
    return None if value is None or math.isnan(value) else round(value, digits)
