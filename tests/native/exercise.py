"""A short life of the recorder in one process, for Valgrind: all kinds of events and records, levels, fork, reader."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import datetime
import decimal
import os
import pathlib
import runpy
import sqlite3
import sys
import tempfile
import threading
import types
import uuid
from pathlib import Path
from typing import Any

from aftertrace import _native

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "record_native"))
from cases import CASES

WANTED = ("nested generators", "task groups and cancellation", "closures and cells", "classes", "exception groups")


def read() -> int:
    """Records in the ring."""
    reader = _native.Reader(_native.ring_fd())
    count = 0
    while slices := reader.poll():
        count += sum(len(_native.survey(records)) for _, _, _, records in slices)
    assert reader.definitions()
    reader.clocks()
    reader.losses()
    reader.close()
    return count


def spans() -> None:
    with _native.Span("s", 2, None, {"a": [1, {"password": "x"}]}, [(5, 6, {"k": 1})]) as span:
        token = _native.attach(span)
        span.set_attributes({f"k{i}": "v" * 200 for i in range(100)})
        span.add_event("e", {"n": 1.5})
        span.set_status(2, "no")
        span.record_exception(ValueError("ü" * 300))
        _native.log(9, "l", "m %s", ("x",), "f", 1, "g", KeyError("k"))
        _native.keep("r", {"k": None})
        _native.detach(token)


def values() -> None:
    """Types that are read by their layout, in rooms of every size."""
    connection = sqlite3.connect(":memory:")
    connection.row_factory = sqlite3.Row
    row = connection.execute("SELECT 1 AS id, 'x' AS password").fetchone()
    held = [row, collections.deque(range(200)), pathlib.Path("/a/b"), types.MappingProxyType({"k": [1]}), uuid.uuid4()]
    held += [
        decimal.Decimal("1.5"),
        datetime.datetime.now(datetime.UTC),
        ["--token", "x"],
        1 << 900,
        "\ud800",
        range(9),
    ]
    for room in range(80, 600, 40):
        for value in [*held, held, {"all": held}]:
            _native.encode_value(value, room=room)
    assert _native.suspicious(b"\x0apassword=x", 0, 12)
    assert not _native.suspicious(bytes(range(32)) * 9, 0, 288)
    connection.close()


def wide(n: int) -> Any:
    space: dict[str, Any] = {}
    text = "def wide(big):\n" + "".join(f"    v{i} = [big, 'x' * 300]\n" for i in range(n)) + "    return big\n"
    exec(compile(text, f"{ROOT}wide.py", "exec"), space)
    return space["wide"](["y" * 250] * 60)


def program(name: str) -> None:
    path = Path(ROOT) / "program.py"
    path.write_text(CASES[name])
    with contextlib.redirect_stdout(None):
        runpy.run_path(str(path), run_name="__main__")


def forked() -> None:
    child = os.fork()
    if child == 0:
        _native.reopen()
        program(WANTED[0])
        read()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0


def main() -> None:
    for level in (2, 1):
        _native.start(level, ring_bytes=1 << 17, defs_bytes=1 << 17, roots=[ROOT], libraries=[], keys=["mine"])
        for name in WANTED:
            program(name)
        spans()
        values()
        wide(100)
        thread = threading.Thread(target=program, args=(WANTED[2],))
        thread.start()
        thread.join()
        asyncio.run(asyncio.sleep(0))
        _native.set_level(3 - level)
        program("exceptions")
        forked()
        assert read() > 10
        _native.close()
    print("done")


with tempfile.TemporaryDirectory() as directory:
    ROOT = f"{Path(directory).resolve()}/"
    main()
