"""Inputs for reader_fuzz.c, made of real rings: python corpus.py DIRECTORY.

A ring of the recorder has sub-buffers of 64 KiB, which are slow to fuzz: beside a whole one, each ring is given with
sub-buffers of 4 KiB that hold the real ones' records, so that an input stays small.
"""

from __future__ import annotations

import contextlib
import os
import runpy
import struct
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

PAGE = 4096
HEADER = 48  # bytes of a sub-buffer's header
MOST = 4  # pages made of one sub-buffer
PROGRAMS = ("nested generators", "task groups and cancellation", "closures and cells", "exception groups")


def record(name: str) -> bytes:
    """A ring in which a program of the recorder's tests ran, some spans and a second thread beside it."""
    from aftertrace import _native

    sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "record_native"))
    from cases import CASES

    with tempfile.TemporaryDirectory() as directory, contextlib.redirect_stdout(None):
        path = Path(directory, "program.py")
        path.write_text(CASES[name])
        _native.start(2, ring_bytes=1 << 17, defs_bytes=PAGE, roots=[f"{Path(directory).resolve()}/"], libraries=[])
        with _native.Span("request", 2, None, {"k": [1, "text"]}) as span:
            token = _native.attach(span)
            runpy.run_path(str(path))
            _native.log(9, "l", "m %s", ("x",), "f", 1, "g", KeyError("k"))
            _native.detach(token)
        thread = threading.Thread(target=runpy.run_path, args=(str(path),))
        thread.start()
        thread.join()
        return os.pread(_native.ring_fd(), 1 << 20, 0)


def whole_records(data: bytes, room: int) -> bytes:
    """The records from the start of some bytes that fit."""
    at = 0
    while at + 3 <= len(data) and data[at]:
        end = at + 3 + int.from_bytes(data[at + 1 : at + 3], "little")
        if end > min(room, len(data)):
            break
        at = end
    return data[:at]


def pages(ring: bytes, base: int, end: int) -> list[bytes]:
    """Bodies of pages: whole records of one sub-buffer, behind the SEGMENT that it opens with."""
    segment = whole_records(ring[base + HEADER : end], 64)
    at, found = base + HEADER + len(segment), []
    while len(found) < MOST and (body := whole_records(ring[at:end], PAGE - HEADER - len(segment))):
        found.append(segment + body)
        at += len(body)
    return found


def small(ring: bytes) -> bytes:
    """The same ring with sub-buffers of one page; only what was written."""
    size, count, definitions = struct.unpack_from("<3I", ring, 16)
    head = struct.unpack_from("<Q", ring, 64)[0]
    first = PAGE + definitions
    made: list[bytes] = []
    for number in range(min(-(-head // size), count)):
        base = first + number * size
        for body in pages(ring, base, base + min(size, head - number * size)):
            clock = ring[base : base + 8] + struct.pack("<Q", len(made)) + ring[base + 16 : base + HEADER]
            made.append(clock + body)
    header = bytearray(ring[:PAGE])
    struct.pack_into("<2I", header, 16, PAGE, max(len(made), 2))
    struct.pack_into("<Q", header, 64, (len(made) - 1) * PAGE + len(made[-1]))
    struct.pack_into("<Q", header, 128, 0)
    return bytes(header) + ring[PAGE:first] + b"".join(page.ljust(PAGE, b"\0") for page in made)


def patch(when: int, offset: int, number: int) -> bytes:
    return struct.pack("<BBIQ", when, 7, offset, number)


def inputs(ring: bytes) -> list[bytes]:
    """As it is; overtaken while it is read; cut while it is read; with a head that grows."""
    head = struct.unpack_from("<Q", ring, 64)[0]
    return [
        b"\0" + ring,
        b"\2" + patch(5, 128, PAGE) + patch(9, 128, 3 * PAGE) + ring,
        b"\1" + struct.pack("<BBIQ", 6, 0xF0, 3 * PAGE, 0) + ring,
        b"\2" + patch(0, 64, PAGE) + patch(7, 64, head) + ring,
    ]


def main(directory: Path) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(PROGRAMS):
        made = directory / "ring"
        subprocess.run([sys.executable, "-P", __file__, "--record", name, str(made)], check=True)
        ring = made.read_bytes()
        made.unlink()
        for index, data in enumerate(inputs(small(ring))):
            (directory / f"small-{number}-{index}").write_bytes(data)
        if not number:
            (directory / "whole").write_bytes(b"\0" + ring)


if __name__ == "__main__":
    if sys.argv[1] == "--record":
        Path(sys.argv[3]).write_bytes(record(sys.argv[2]))
    else:
        main(Path(sys.argv[1]))
