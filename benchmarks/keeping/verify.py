"""Afterwards: what of each edge case is in the store, held against what was recorded of it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field

from benchmarks.keeping.edges import Edge
from benchmarks.keeping.witness import Intervals, Seen, Trace

from aftertrace.agent.walk import HEAD, is_continued
from aftertrace.cli import client
from aftertrace.errors import AftertraceError
from aftertrace.model import SpanKind
from aftertrace.settings import Settings
from aftertrace.wire import recording
from aftertrace.wire.bundle import TraceData
from aftertrace.wire.recording import Slice

_LOOKS = 4  # traces that are asked for at once by the delays' reader
_EACH_S = 0.3


@dataclass(slots=True)
class Verdict:
    """One edge case. ``kept``: for itself, not because of another. Bytes are of its own slices, in all services;
    ``told``: missing, and said to be lost."""

    edge: Edge
    kept: bool
    recorded: int = 0
    stored: int = 0
    told: int = 0
    unrecorded: list[str] = field(default_factory=list)  # services that took no part, or were not recorded then
    incomplete: list[str] = field(default_factory=list)  # services of which something is missing that was not told
    lost: list[str] = field(default_factory=list)  # of which something is missing, and an agent said so
    missing: list[tuple[str, int, int, str]] = field(default_factory=list)  # service, from, to, how it begins (hex)

    @property
    def complete(self) -> bool:
        return self.kept and not self.incomplete


def fetch(trace: str, settings: Settings) -> TraceData | None:
    """None: it was not kept (yet), or the server is away."""
    try:
        found = client.bundle(trace, settings=settings)
    except AftertraceError:
        return None
    return found if found.keeps else None


def judge(edge: Edge, seen: Trace | None, found: TraceData | None) -> Verdict:
    """What the witness saw of it against what the server has; None: it was not kept."""
    verdict = Verdict(edge, found is not None and any(keep.role == "failure" for keep in found.keeps))
    by_process = seen.by_process if seen is not None else {}
    services = {one.service for one in by_process.values()}
    verdict.unrecorded = [name for name in edge.services if name not in services]
    if found is None or not verdict.kept:
        verdict.recorded = sum(_size(one.intervals) for one in by_process.values())
        return verdict
    stored: dict[str, Intervals] = {}
    losses: dict[str, Intervals] = {}
    for data in found.recordings:
        read = recording.read(data)
        uid = read.meta.process_uid
        stored.setdefault(uid, []).extend(_stored(read.slices, by_process.get(uid)))
        losses.setdefault(uid, []).extend(read.losses)
    overwritten = _overwritten(found)
    worked = {span.service for span in found.spans if span.kind in {SpanKind.SERVER, SpanKind.CONSUMER}}
    for uid, one in by_process.items():
        recorded = _merged(one.intervals)
        missing = _without(recorded, stored.get(uid, []))
        excused = _without(missing, _without(missing, losses.get(uid, [])))
        gone = _size(missing) - _size(excused)
        if gone and one.service in overwritten:
            excused, gone = missing, 0
        verdict.recorded += _size(recorded)
        verdict.stored += _size(recorded) - _size(missing)
        verdict.told += _size(excused)
        if gone or one.service not in worked:
            verdict.incomplete.append(one.service)
            pieces = _without(missing, excused)
            verdict.missing += [(one.service, first, end, one.bytes_from(first)[:40].hex()) for first, end in pieces]
        elif excused:
            verdict.lost.append(one.service)
    return verdict


def _stored(slices: list[Slice], seen: Seen | None) -> Intervals:
    """What they are of the ring. Records are counted, not bytes: one that was redacted has been encoded anew."""
    found: Intervals = []
    for one in slices:
        count = len(_frames(one.records)) - is_continued(one.records)
        recorded = seen.bytes_from(one.position) if seen is not None else b""
        found.append((one.position, one.position + sum(_frames(recorded)[:count])))
    return found


def _frames(records: bytes) -> list[int]:
    """Lengths of the records, with their heads."""
    found, at = [], 0
    while at + HEAD <= len(records):
        found.append(HEAD + int.from_bytes(records[at + 1 : at + HEAD], "little"))
        at += found[-1]
    return found


def _overwritten(found: TraceData) -> set[str]:
    agents = found.coverage.agents if found.coverage is not None else []
    return {service for agent in agents for service in agent.overwritten}


def _size(intervals: Iterable[tuple[int, int]]) -> int:
    return sum(end - begin for begin, end in intervals)


def _merged(intervals: Iterable[tuple[int, int]]) -> Intervals:
    found: Intervals = []
    for begin, end in sorted(intervals):
        if found and begin <= found[-1][1]:
            found[-1] = found[-1][0], max(end, found[-1][1])
        else:
            found.append((begin, end))
    return found


def _without(intervals: Iterable[tuple[int, int]], others: Iterable[tuple[int, int]]) -> Intervals:
    """What of the first is not in the others."""
    left, taken = _merged(intervals), _merged(others)
    found: Intervals = []
    for begin, end in left:
        at = begin
        for first, last in taken:
            if last <= at or first >= end:
                continue
            if first > at:
                found.append((at, first))
            at = max(at, last)
        if at < end:
            found.append((at, end))
    return found


class Delays:
    """Asks for some of the edge cases again and again, until all of their services' recordings can be read.

    ``add`` names one; ``readable`` then has the moment (monotonic, s) at which it was whole.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._waiting: list[tuple[float, Edge]] = []
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self.readable: dict[str, float] = {}
        self.listed: dict[str, float] = {}
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self, edges: Iterable[tuple[float, Edge]]) -> None:
        """Each with the moment from which on it is worth asking."""
        self._waiting = sorted(edges, key=lambda one: one[0])
        self._thread.start()

    def close(self) -> list[Edge]:
        """Those that were not whole until now."""
        self._stop.set()
        self._thread.join()
        return [edge for _, edge in self._waiting]

    def _run(self) -> None:
        while self._waiting and not self._stop.wait(_EACH_S):
            now = time.monotonic()
            due = [one for one in self._waiting if one[0] <= now][:_LOOKS]
            for one in due:
                self._waiting.remove(one)
                if not self._look(one[1]):
                    self._waiting.append((one[0], one[1]))

    def _look(self, edge: Edge) -> bool:
        found = fetch(edge.trace, self._settings)
        if found is None:
            return False
        self.listed.setdefault(edge.trace, time.monotonic())
        services: set[str] = set()
        with suppress(AftertraceError):
            services = {recording.read(data).meta.service for data in found.recordings}
        if not services >= set(edge.services):
            return False
        self.readable[edge.trace] = time.monotonic()
        return True
