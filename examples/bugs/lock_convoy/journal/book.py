"""One file, appended to by one thread at a time; entries are numbered without a gap."""

import os
import struct
import threading
from pathlib import Path

from journal import packing

BOOK = Path(os.environ.get("DATA_DIR", "data")) / "journal.bin"
HEADER = struct.Struct("!IHI")  # number, code, bytes that follow
_lock = threading.Lock()
_count = 0


def append(machine: str, code: int, lines: list[str]) -> int:
    global _count  # noqa: PLW0603
    with _lock:  # bug
        packed = packing.pack(machine, lines)
        _count += 1
        number = _count
        write(number, code, packed)
    return number


def write(number: int, code: int, packed: bytes) -> None:
    with BOOK.open("ab") as book:
        book.write(HEADER.pack(number, code, len(packed)))
        book.write(packed)
