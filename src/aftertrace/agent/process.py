"""One recorded process: its ring, and what is held of it beside its slices."""

from __future__ import annotations

import os
import time
from array import array
from bisect import bisect_right
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from aftertrace import _native
from aftertrace.agent.watch import Watch
from aftertrace.settings import LEVELS, Level
from aftertrace.wire import definitions
from aftertrace.wire.definitions import Definitions
from aftertrace.wire.handover import Ring, Usage
from aftertrace.wire.recording import Sample

_POLLS = 4  # of 4 MB each, before the others have their turn
_MOST_SAMPLES = 1 << 16  # one per 64 KiB of ring
_MOST_LOSSES = 1024
_MOST_DEFINITIONS = 64 << 20  # bytes
_MOST_SOURCES = 20_000  # paths
_MOST_CHANGES = 1 << 17  # of levels; the recorder's governor makes few

type Polled = tuple[int, bytes | None, int, bytes]  # position, trace, thread, records


class Process:
    """``number``: its own in this agent. ``pid``: as this host's kernel knows it, 0 when it does not.

    Definitions, sources and samples are written by the thread that tails and read by the one that packs: they only
    grow, except for the samples, which are copied under their own rule (see samples_for).
    """

    def __init__(self, number: int, ring: Ring, reader: _native.Reader, pid: int) -> None:
        self.number = number
        self.ring = ring
        self.uid = ring.process_uid
        self.reader = reader
        self.python = _version(reader.python_hex)
        self.pid = pid
        self.user = -1  # uid of who offered it
        self.pidfd = _open_pidfd(pid)
        self._born = _born(pid)
        self.connected = True
        self.gone = False  # it has ended, and its ring is read to the end
        self.died = False  # gone without having ended in order
        self.level: Level = ring.level  # as the ring says it, at the last look
        self.spoilt = False  # its ring made us stumble
        self.read_bytes = 0
        self.lost_bytes = 0
        self.watch = Watch()
        self.usage: Usage | None = None  # what it reported last
        self.reported = 0.0  # when, monotonic, s
        self.sources: dict[str, str] = {}  # path -> sha256
        self.losses: deque[tuple[int, int]] = deque(maxlen=_MOST_LOSSES)
        self._samples = array("Q")  # five numbers each, in the order of their ticks
        self._definitions: deque[bytes] = deque()  # not yet parsed
        self._definition_bytes = 0
        self._parsed = Definitions()

    def poll(self, *, everything: bool = False) -> Iterator[list[Polled]]:
        """What is new in the ring, in pieces, after the definitions and clocks that it needs."""
        for _ in range(1 << 16 if everything else _POLLS):
            slices = self.reader.poll()
            self._take_notes()
            if not slices:
                return
            self.read_bytes += sum(len(records) for _, _, _, records in slices)
            yield slices

    def _take_notes(self) -> None:
        found = self.reader.definitions()
        if found and self._definition_bytes < _MOST_DEFINITIONS:
            self._definitions.append(found)
            self._definition_bytes += len(found)
        self.losses.extend(self.reader.losses())
        self.lost_bytes = self.reader.lost_bytes
        if 0 <= self.reader.level < len(LEVELS) and not self.reader.ended():  # one that has ended records nothing
            self.level = LEVELS[self.reader.level]
        for sample in self.reader.clocks():
            if not self._samples or sample[1] >= self._samples[-4]:
                self._samples.extend(sample)
        if len(self._samples) > 5 * _MOST_SAMPLES:
            self._samples = self._samples[5 * (_MOST_SAMPLES // 2) :]

    def add_source(self, path: str, sha256: str) -> None:
        if len(self.sources) < _MOST_SOURCES:
            self.sources[path] = sha256

    def definitions(self) -> Definitions:
        """All so far. For the thread that packs only."""
        while self._definitions:
            found = definitions.decode(self._definitions.popleft())
            self._parsed.files.update(found.files)
            self._parsed.codes.update(found.codes)
            self._parsed.levels += found.levels[: _MOST_CHANGES - len(self._parsed.levels)]
        return self._parsed

    def samples_for(self, ticks: list[int]) -> list[Sample]:
        """For each of some moments the last sample at or before it (the first, when all are later)."""
        held = self._samples
        moments = held[1 : len(held) // 5 * 5 : 5]
        places = {max(bisect_right(moments, one) - 1, 0) for one in ticks} if moments else set()
        return [Sample(*held[5 * place : 5 * place + 5]) for place in sorted(places)]

    def ns(self, ticks: int) -> int:
        """A span of ticks, by the newest rate that the ring told."""
        rate = self._samples[-1] if self._samples else 0
        return max(ticks, 0) * 1_000_000_000 // (rate or 1_000_000_000)

    def ended_in_order(self) -> bool:
        return self.reader.ended()

    def age(self) -> float:
        """Seconds since it began; since we know of it, where the kernel does not tell."""
        return time.clock_gettime(time.CLOCK_BOOTTIME) - self._born

    def close(self) -> None:
        """Lets go of the ring and the process; what was read stays."""
        self.reader.close()
        if self.pidfd >= 0:
            os.close(self.pidfd)
            self.pidfd = -1


def _version(number: int) -> str:
    """``sys.hexversion`` as people write it."""
    return f"{number >> 24}.{number >> 16 & 255}.{number >> 8 & 255}"


def _open_pidfd(pid: int) -> int:
    """-1: no such process here (another namespace), or an old kernel."""
    if pid > 0:
        with suppress(OSError):
            return os.pidfd_open(pid)
    return -1


def stat_fields(pid: int) -> list[str]:
    """/proc/PID/stat from the third field, the state, on. OSError: there is no such process."""
    if pid <= 0:
        raise ProcessLookupError(pid)
    return Path(f"/proc/{pid}/stat").read_text("ascii", "replace").rpartition(")")[2].split()


def _born(pid: int) -> float:
    """In seconds of CLOCK_BOOTTIME."""
    with suppress(OSError, ValueError, IndexError):
        return int(stat_fields(pid)[19]) / os.sysconf("SC_CLK_TCK")
    return time.clock_gettime(time.CLOCK_BOOTTIME)
