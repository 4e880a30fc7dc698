"""What requests leave in a recorded server's ring: records by kind, and by function with their bytes."""

from __future__ import annotations

import contextlib
import os
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from aftertrace import _native
from aftertrace.cli.bench.servers import CONNECTIONS, BenchFailed, Server
from aftertrace.errors import BadRecording
from aftertrace.wire import definitions, records

LOADED_S = 0.05
ANSWERED_S = 10.0  # at most, until some requests were answered
QUIET_S = 0.1  # until what was under way has ended
FUNCTIONS = 12  # that are named
OUTSIDE = "(spans, segments, logs)"


@dataclass(frozen=True, slots=True)
class Left:
    """Per request: records by kind, (records, bytes) of the functions that have most bytes, and how many lines of
    source it was seen to run, each counted once."""

    kinds: dict[str, float]
    functions: dict[str, tuple[float, float]]
    source: float


def of_requests(server: Server) -> Left:
    """Of a server whose load stands still: it gets a moment of it. Raises BenchFailed when there is no ring."""
    with _reader(server.process.pid) as reader:
        while reader.poll():
            pass
        before = server.ask().requests
        server.begin()
        time.sleep(LOADED_S)
        deadline = time.monotonic() + ANSWERED_S
        while server.ask().requests < before + CONNECTIONS and time.monotonic() < deadline:
            time.sleep(LOADED_S)  # the machine is busy
        server.rest()
        time.sleep(QUIET_S)
        requests = max(server.ask().requests - before, 1)
        kinds, bytes_, counts, source = _count(reader)
    most = bytes_.most_common(FUNCTIONS)
    return Left(
        {kind: round(count / requests, 2) for kind, count in sorted(kinds.items())},
        {name: (round(counts[name] / requests, 2), round(size / requests)) for name, size in most},
        round(source / requests, 2),
    )


def ring_of(pid: int) -> int:
    """A descriptor of the process's ring, found among its open files. Raises BenchFailed when there is none."""
    for link in Path(f"/proc/{pid}/fd").iterdir():
        try:
            if "memfd" not in os.fspath(link.readlink()):
                continue
            fd = os.open(link, os.O_RDONLY)
        except FileNotFoundError:  # it was closed meanwhile
            continue
        try:
            _native.Reader(fd).close()
        except ValueError:
            os.close(fd)
            continue
        return fd
    raise BenchFailed("bench-no-ring", f"Process {pid} has no ring.", "Is it recorded?")


@contextlib.contextmanager
def _reader(pid: int) -> Iterator[_native.Reader]:
    fd = ring_of(pid)
    try:
        reader = _native.Reader(fd)
    finally:
        os.close(fd)
    with contextlib.closing(reader):
        yield reader


def _count(reader: _native.Reader) -> tuple[Counter[str], Counter[str], Counter[str], int]:
    """Records by kind, bytes by function, records by function, lines of source over all traces."""
    kinds: Counter[str] = Counter()
    bytes_: Counter[str] = Counter()
    counts: Counter[str] = Counter()
    names: dict[int, str] = {}
    codes: dict[int, int] = {}  # of activations
    source: set[tuple[bytes | None, int, int]] = set()
    while slices := reader.poll():
        names |= {code.id: code.qualname for code in definitions.decode(reader.definitions()).codes.values()}
        for _, trace, _, data in slices:
            found = _decoded(data)
            for one, following in zip(found, [*(record.offset for record in found[1:]), len(data)], strict=True):
                activation = getattr(one, "activation", 0)
                if hasattr(one, "code"):
                    codes[activation] = one.code
                function = names.get(codes.get(activation, -1), "(begun before)") if activation else OUTSIDE
                kinds[type(one).__name__] += 1
                if isinstance(one, records.Line):
                    source.add((trace, codes.get(activation, -1), one.line))
                counts[function] += 1
                bytes_[function] += following - one.offset
    return kinds, bytes_, counts, len(source)


def _decoded(data: bytes) -> list[records.Record]:
    try:
        return list(records.decode(data, base_ticks=0))
    except BadRecording:  # it was written over while it was read
        return []
