"""How well something separates failing requests from healthy ones: Fisher's exact test, corrected for how much was
compared. In whole numbers, so that nothing is rounded before the end."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from math import comb


@lru_cache(maxsize=65536)
def fisher(a: int, b: int, c: int, d: int) -> float:
    """Two-sided p (ratio, 0 .. 1) of ``a`` of ``a + b`` failing against ``c`` of ``c + d`` healthy requests: how often
    a table as unlikely as this one comes about by chance with these margins (Fisher 1922; two-sided as R has it).
    ValueError: a count is negative."""
    if min(a, b, c, d) < 0:
        raise ValueError(f"counts are not negative: {a}, {b}, {c}, {d}")
    failing, having, total = a + b, a + c, a + b + c + d
    ways = [
        comb(failing, k) * comb(total - failing, having - k)
        for k in range(max(0, having - (total - failing)), min(failing, having) + 1)
    ]
    own = comb(failing, a) * comb(total - failing, c)
    return sum(one for one in ways if one <= own) / comb(total, having)


def adjusted(values: Sequence[float], compared: int = 0) -> list[float]:
    """Each p as a q: the share of false ones to be expected among all that are at least as good (Benjamini and Hochberg
    1995). ``compared``: comparisons made in all, where more were made than are given here; theirs count as p = 1."""
    total = max(compared, len(values))
    order = sorted(range(len(values)), key=lambda one: values[one])
    found = [1.0] * len(values)
    least = 1.0
    for rank in range(len(order), 0, -1):
        least = min(least, values[order[rank - 1]] * total / rank)
        found[order[rank - 1]] = least
    return found
