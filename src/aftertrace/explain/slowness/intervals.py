"""Times as disjoint intervals: how much of one set lies in another."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable


class Intervals:
    """(start, end) pairs in ns, joined where they touch or overlap."""

    def __init__(self, pairs: Iterable[tuple[int, int]] = ()) -> None:
        self.pairs: list[tuple[int, int]] = []
        for start, end in sorted(one for one in pairs if one[0] < one[1]):
            if self.pairs and start <= self.pairs[-1][1]:
                self.pairs[-1] = (self.pairs[-1][0], max(end, self.pairs[-1][1]))
            else:
                self.pairs.append((start, end))
        self._starts = [start for start, _ in self.pairs]

    @property
    def total(self) -> int:
        return sum(end - start for start, end in self.pairs)

    def within(self, start: int, end: int) -> int:
        """How much of them lies between two moments."""
        found = 0
        for place in range(max(bisect_right(self._starts, start) - 1, 0), len(self.pairs)):
            low, high = self.pairs[place]
            if low >= end:
                break
            found += max(min(high, end) - max(low, start), 0)
        return found

    def common(self, other: Intervals) -> int:
        """How much of them lies in others, too."""
        few, many = (self, other) if len(self.pairs) < len(other.pairs) else (other, self)
        return sum(many.within(start, end) for start, end in few.pairs)
