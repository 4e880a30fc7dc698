"""How much may leave this host: bytes a second, as they go over the wire, and who goes first when that is too much.

A bucket that holds what may leave within ten seconds. Below a half of it requests that are kept because of another are
left out, below a quarter storms are thinned four times as much; when it is empty, what is kept waits in the agent's
memory until there is room again, failures first, and what grows too old there is lost and said to be overwritten.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

HELD_S = 10.0
_COMPANY, _STORMS = 0.5, 0.25  # shares of the bucket
_SQUEEZE = 2  # powers of two


class Ration:
    """``rate``: bytes a second, 0: no limit. spend() is for the thread that packs, the rest for the agent's loop."""

    def __init__(self, rate: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.rate = rate
        self._clock = clock
        self._lock = threading.Lock()
        self._room = rate * HELD_S  # bytes; below 0: more left than should have
        self._at = clock()

    def spend(self, count: int) -> None:
        """So many bytes are on their way."""
        with self._lock:
            self._fill()
            self._room -= count

    def left(self) -> float:
        """Of the bucket: 1 is all of it, below 0 there is a debt."""
        if not self.rate:
            return 1.0
        with self._lock:
            self._fill()
            return self._room / (self.rate * HELD_S)

    def _fill(self) -> None:
        now = self._clock()
        self._room = min(self._room + (now - self._at) * self.rate, self.rate * HELD_S)
        self._at = now

    def allows_company(self) -> bool:
        return self.left() >= _COMPANY

    def squeeze(self) -> int:
        """By how many powers of two storms are thinned beyond their own rate."""
        return 0 if self.left() >= _STORMS else _SQUEEZE

    def wait_s(self) -> float:
        """Until something may leave; 0.0: now."""
        left = self.left()
        return -left * HELD_S if left < 0 else 0.0

    def state(self) -> dict[str, float | int]:
        """For the status."""
        return {"bytes_s": self.rate, "left": round(self.left(), 3)}
