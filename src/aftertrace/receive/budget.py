"""What the receiver may hold in memory at once, counted in bytes of bodies."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

from aftertrace.errors import Unavailable

IN_FLIGHT = 256 << 20  # bytes; beyond it senders are asked to come again


class Budget:
    """For any thread."""

    def __init__(self) -> None:
        self._limit = IN_FLIGHT
        self._lock = threading.Lock()
        self.held = 0

    def hold(self, size: int) -> None:
        """Counts bytes as held. Raises Unavailable when they are too many."""
        with self._lock:
            if self.held + size > self._limit:
                raise Unavailable("receiver-busy", "The receiver holds as much as it can.", "Send again in a moment.")
            self.held += size

    def release(self, size: int) -> None:
        with self._lock:
            self.held -= size

    @contextlib.contextmanager
    def holding(self, size: int) -> Iterator[None]:
        """Raises Unavailable."""
        self.hold(size)
        try:
            yield
        finally:
            self.release(size)
