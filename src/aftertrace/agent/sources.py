"""Source files that processes handed over, by the hash of their bytes: each is held, and sent, once."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict

from aftertrace.wire import zstd

_LIMIT = 64 << 20  # bytes, compressed


class Sources:
    """Bounded: what was used longest ago goes first."""

    def __init__(self, limit: int = _LIMIT) -> None:
        self._limit = limit
        self._packed: OrderedDict[str, bytes] = OrderedDict()
        self._sent: set[str] = set()
        self._bytes = 0
        self._lock = threading.Lock()

    def add(self, data: bytes) -> str:
        """Holds the file; its sha256, hex."""
        sha256 = hashlib.sha256(data).hexdigest()
        with self._lock:
            if sha256 in self._packed:
                self._packed.move_to_end(sha256)
                return sha256
        packed = zstd.compress(data)
        with self._lock:
            self._packed[sha256] = packed
            self._bytes += len(packed)
            while self._bytes > self._limit:
                _, gone = self._packed.popitem(last=False)
                self._bytes -= len(gone)
        return sha256

    def to_send(self, sha256: str) -> bytes | None:
        """The file, zstd-compressed, if it is held and was not asked for before."""
        with self._lock:
            packed = self._packed.get(sha256)
            if packed is None or sha256 in self._sent:
                return None
            self._sent.add(sha256)
            return packed

    def forget_sent(self) -> None:
        """All may be sent again."""
        with self._lock:
            self._sent.clear()

    @property
    def bytes(self) -> int:
        return self._bytes
