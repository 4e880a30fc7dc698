"""The line by which the benchmark asks a server how far it is, and switches the recorder in it.

One thread on a unix socket. A request is a word, an answer one line of JSON: what this process has used and done, read
at one instant while the GIL is held.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
import time
from typing import Any

from .tick import tick

_HEAD = 64  # where a ring says how many bytes were ever written (docs/format.md)


class Control(threading.Thread):
    """``level NAME`` sets the recorder's level, ``level paused`` and ``level auto`` switch the events of one that is at
    auto off and on; ``read`` only reads."""

    def __init__(self, path: str) -> None:
        super().__init__(name="control", daemon=True)
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(path)
        self._listener.listen()
        self._reads = 0
        self.port = 0  # of the server, once it listens

    def run(self) -> None:
        while True:
            connection, _ = self._listener.accept()
            with connection, connection.makefile("rw") as lines:
                for line in lines:
                    lines.write(json.dumps(self._answer(line.split())) + "\n")
                    lines.flush()

    def _answer(self, words: list[str]) -> dict[str, Any]:
        if words[0] == "level":
            _switch(words[1])
        answer = {"cpu": time.process_time_ns(), "wall": time.monotonic_ns(), "requests": tick() - self._reads}
        self._reads += 1
        return answer | {"bytes": _written(), "port": self.port}


def _native() -> Any:
    """The recorder's extension, when this process is recorded."""
    return sys.modules.get("aftertrace._native")


def _switch(level: str) -> None:
    native = _native()
    if native is None:
        return
    if level == "paused":
        native.pause()
    elif level == "auto":
        native.resume()
    else:
        native.set_level(getattr(native, f"LEVEL_{level.upper()}"))


def _written() -> int:
    """Bytes that the ring has taken, or that the log has."""
    native = _native()
    if native is not None:
        return int.from_bytes(os.pread(native.ring_fd(), 8, _HEAD), "little")
    log = os.environ.get("BENCH_LOG", "")
    return os.stat(log).st_size if log and os.path.exists(log) else 0  # noqa: PTH110, PTH116  # imports no more
