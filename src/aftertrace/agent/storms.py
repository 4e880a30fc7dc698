"""Storms: of failures that are one, the first are kept in full, then about one a second, each for several.

Which ones is decided by the trace id, not by a die: agents that see the same storm keep the same traces, whole. A trace
that is kept at a share of 1 in 2^k stands for 2^k, so sums of weights are unbiased estimates of counts.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

FULL = 20  # of a group
PER_S = 1.0  # after these, about
FORGOTTEN_S = 3600.0  # a group that was quiet for so long begins anew
_MOST_GROUPS = 4096
_LOW = 1 << 56  # trace ids are random in their low bytes (W3C Trace Context, level 2)


@dataclass(slots=True)
class _Group:
    since: float  # of the second that is counted
    count: int = 0  # in it
    in_full: int = 0
    shift: int = 0  # 1 in 2^shift is kept
    last: float = 0.0


class Storms:
    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._groups: OrderedDict[tuple[str, ...], _Group] = OrderedDict()
        self.squeezed = 0  # that were kept without the squeeze

    def admit(self, group: tuple[str, ...], trace: bytes, squeeze: int = 0) -> float:
        """For how many requests this one stands; 0.0: it is not kept. ``squeeze``: of what is thinned, 2^squeeze times
        less is kept."""
        now = self._clock()
        found = self._groups.get(group)
        if found is None or now - found.last > FORGOTTEN_S:
            found = self._groups[group] = _Group(now)
        self._groups.move_to_end(group)
        if len(self._groups) > _MOST_GROUPS:
            self._groups.popitem(last=False)
        found.last = now
        if now - found.since >= 1.0:
            rate = found.count / (now - found.since)
            found.shift = max(0, _log2(rate / PER_S))
            found.since, found.count = now, 0
        found.count += 1
        if found.in_full < FULL:
            found.in_full += 1
            return 1.0
        # Within a second that brings more than the one before it the share falls at once.
        shift = max(found.shift, _log2(found.count / PER_S) - 1)
        place = int.from_bytes(trace[-7:])
        if place < _LOW >> shift + squeeze:
            return float(1 << shift + squeeze)
        self.squeezed += place < _LOW >> shift
        return 0.0


def _log2(number: float) -> int:
    """Rounded up, at least 0, at most 40."""
    shift = 0
    while number > 1 << shift and shift < 40:
        shift += 1
    return shift
