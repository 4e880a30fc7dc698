"""Source files that processes handed over, by the hash of their bytes: held and sent once, secrets starred out."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict

from aftertrace.agent import redact
from aftertrace.wire import zstd

_LIMIT = 64 << 20  # bytes, compressed
_FILE = 64 << 20  # bytes of one file
_MOST_CLEAN = 20_000


class Sources:
    """Bounded: what was used longest ago goes first."""

    def __init__(self, limit: int = _LIMIT) -> None:
        self._limit = limit
        self._packed: OrderedDict[str, bytes] = OrderedDict()
        self._clean: dict[str, str] = {}  # hash as handed over -> hash as it may leave
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
        self._hold(sha256, zstd.compress(data))
        return sha256

    def _hold(self, sha256: str, packed: bytes) -> None:
        with self._lock:
            self._bytes += len(packed) - len(self._packed.pop(sha256, b""))
            self._packed[sha256] = packed
            while self._bytes > self._limit:
                _, gone = self._packed.popitem(last=False)
                self._bytes -= len(gone)

    def cleaned(self, sha256: str) -> str:
        """The hash under which a file leaves the host: its own, or that of the file with its secrets starred out."""
        with self._lock:
            clean, packed = self._clean.get(sha256), self._packed.get(sha256)
            if packed is None or (clean is not None and clean in self._packed):
                return clean or sha256
            if len(self._clean) >= _MOST_CLEAN:
                self._clean.clear()
        data = redact.source(zstd.decompress(packed, _FILE))
        clean = self._clean[sha256] = hashlib.sha256(data).hexdigest()
        if clean != sha256:
            self._hold(clean, zstd.compress(data))
        return clean

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
