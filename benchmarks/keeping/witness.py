"""A reader of the same rings beside the agents: what was recorded of the edge cases, whatever agents make of it.

A ring may have any number of readers. The witness finds a process's ring among its descriptors, so it sees what was
written by one that is killed, up to its last record, and also what is written while no agent is there.
"""

from __future__ import annotations

import os
import threading
import time
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.keeping.edges import MARK

from aftertrace import _native
from aftertrace.agent.walk import position_of
from aftertrace.wire import zstd

_EACH_S = 0.05
_PACKED_OF = 16  # one look in so many is compressed, to know what shipping everything would take

type Intervals = list[tuple[int, int]]  # positions in a ring, [from, to)


@dataclass(slots=True)
class Seen:
    """One edge trace in one process."""

    service: str
    intervals: Intervals = field(default_factory=list)
    records: dict[int, bytes] = field(default_factory=dict)  # by position, without a SEGMENT that the reader made

    def bytes_from(self, begin: int) -> bytes:
        """As far as the ring went on without a gap."""
        found = b""
        for position, records in sorted(self.records.items()):
            at = begin + len(found)
            if position <= at < position + len(records):
                found += records[at - position :]
        return found


@dataclass(slots=True)
class Trace:
    first: float  # monotonic, s
    last: float
    by_process: dict[str, Seen] = field(default_factory=dict)  # by uid


@dataclass(slots=True)
class _Ring:
    service: str
    uid: str
    reader: _native.Reader
    pid: int
    bytes: int = 0
    over: bool = False


class Witness:
    """``watch`` for each process that begins, ``ended`` when it is no more; then ``traces`` has all."""

    def __init__(self) -> None:
        self.traces: dict[str, Trace] = {}
        self.losses: dict[str, Intervals] = defaultdict(list)  # by uid: what the witness itself did not see
        self._rings: list[_Ring] = []
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._sample = [0, 0]  # bytes, and compressed
        self._looks = 0
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def watch(self, service: str, pid: int, seconds: float = 30.0) -> bool:
        """Waits for the process's ring. False: it has none."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if (reader := _reader_of(pid)) is not None:
                with self._lock:
                    self._rings.append(_Ring(service, reader.process_uid.hex(), reader, pid))
                return True
            time.sleep(0.02)
        return False

    def recorded_bytes(self) -> dict[str, int]:
        """By service."""
        found: dict[str, int] = {}
        with self._lock:
            for ring in self._rings:
                found[ring.service] = found.get(ring.service, 0) + ring.bytes
        return found

    def ratio(self) -> float:
        """Compressed to plain bytes of what is recorded, in blocks as agents make them."""
        return self._sample[1] / self._sample[0] if self._sample[0] else 1.0

    def close(self) -> None:
        self._stop.set()
        self._thread.join()
        self._look()
        for ring in self._rings:
            ring.reader.close()

    def _run(self) -> None:
        while not self._stop.wait(_EACH_S):
            self._look()

    def _look(self) -> None:
        with self._lock:
            rings = [ring for ring in self._rings if not ring.over]
        for ring in rings:
            gone = not Path(f"/proc/{ring.pid}").exists()
            while slices := ring.reader.poll():
                self._take(ring, slices)
            self.losses[ring.uid] += ring.reader.losses()
            ring.reader.definitions()
            ring.reader.clocks()
            ring.over = gone

    def _take(self, ring: _Ring, slices: list[tuple[int, bytes | None, int, bytes]]) -> None:
        now, size = time.monotonic(), 0
        for position, trace, _, records in slices:
            size += len(records)
            if trace is not None and trace.startswith(MARK):
                known = self.traces.setdefault(trace.hex(), Trace(now, now))
                known.last = now
                seen = known.by_process.setdefault(ring.uid, Seen(ring.service))
                end = position_of(position, records, len(records))
                seen.intervals.append((position, end))
                seen.records[position] = records[len(records) - (end - position) :]
        ring.bytes += size
        self._looks += 1
        if self._looks % _PACKED_OF == 0:
            joined = b"".join(records for _, _, _, records in slices)
            self._sample[0] += len(joined)
            self._sample[1] += len(zstd.compress(joined, 1))


def _reader_of(pid: int) -> _native.Reader | None:
    """Of the ring of a process; None: it has none (yet)."""
    with suppress(OSError):
        for link in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(OSError, ValueError):  # ValueError: it is just being made
                if link.readlink().name.startswith("memfd:aftertrace"):
                    descriptor = os.open(link, os.O_RDONLY | os.O_CLOEXEC)
                    try:
                        return _native.Reader(descriptor)
                    finally:
                        os.close(descriptor)
    return None
