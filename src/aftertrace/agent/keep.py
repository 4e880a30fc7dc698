"""Kept traces: when one is ready to go, and what of it has gone already (ARCHITECTURE.md, D7, first form)."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from aftertrace.agent.memory import Entry, Memory
from aftertrace.agent.part import Job, Part
from aftertrace.agent.process import Process
from aftertrace.agent.spans import Spans
from aftertrace.agent.tell import Counts
from aftertrace.agent.watch import Trigger

SETTLE_S = 0.5  # quiet for so long: it is all there
LONGEST_SETTLE_S = 2.5
SOURCES_S = 3.0  # how long a recording waits for sources that are not handed over yet
REMEMBER_S = 300.0  # what arrives for a kept trace until then is shipped too
_MOST_KEPT = 10_000
_MOST_TRIGGERS = 16  # of one trace
_BATCH = 64  # traces taken out of memory at once


@dataclass(slots=True)
class Kept:
    """One trace. ``marks``: process -> position up to which its slices have gone; ``block``: of memory, likewise."""

    trace: bytes
    since: float  # of the first thing that has not gone, monotonic
    last: float  # of the newest
    new: list[tuple[Process, Trigger]] = field(default_factory=list)
    seen: set[tuple[int, str, str]] = field(default_factory=set)  # process, trigger, span
    names: list[str] = field(default_factory=list)
    marks: dict[int, int] = field(default_factory=dict)
    told: dict[int, Spans] = field(default_factory=dict)  # process -> what is known of its spans
    block: int = 0
    numbers: dict[int, int] = field(default_factory=dict)

    def due(self) -> float:
        return min(self.last + SETTLE_S, self.since + LONGEST_SETTLE_S)


class Keeper:
    """Turns triggers into jobs. ``processes``: all that are remembered, by number."""

    def __init__(self, memory: Memory, processes: Mapping[int, Process], counts: Counts) -> None:
        self._memory = memory
        self._processes = processes
        self._counts = counts
        self._kept: dict[bytes, Kept] = {}  # the one that was at rest longest is first
        self._waiting: dict[bytes, Kept] = {}  # those with something that has not gone

    def __contains__(self, trace: bytes | None) -> bool:
        return trace in self._kept

    def trigger(self, process: Process, trigger: Trigger) -> None:
        """The trace is kept, once for each trigger that each span shows."""
        kept = self._kept.get(trigger.trace)
        if kept is None:
            now = time.monotonic()
            kept = self._kept[trigger.trace] = Kept(trigger.trace, now, now)
            self._counts.kept += 1
        key = process.number, trigger.name, trigger.span
        if key not in kept.seen and len(kept.seen) < _MOST_TRIGGERS:
            kept.seen.add(key)
            kept.new.append((process, trigger))
            if trigger.name not in kept.names:
                kept.names.append(trigger.name)
        self.touch(trigger.trace)

    def touch(self, trace: bytes) -> None:
        """Something has come for a kept trace."""
        kept, now = self._kept[trace], time.monotonic()
        if trace not in self._waiting:
            kept.since = now
            self._waiting[trace] = kept
        kept.last = now

    def gone(self, process: Process) -> None:
        """A process has ended: its spans that did not end never will."""
        for trace, kept in self._kept.items():
            if process.number in kept.marks:
                self.touch(trace)

    def due_in(self) -> float:
        """Seconds until the next trace is ready; infinity when there is none."""
        now = time.monotonic()
        return min((kept.due() - now for kept in self._waiting.values()), default=float("inf"))

    def jobs(self, *, everything: bool = False) -> list[Job]:
        """What is ready now. ``everything``: the agent ends, what is not ready goes too."""
        now = time.monotonic()
        ready = [kept for kept in self._waiting.values() if everything or kept.due() <= now]
        ready = ready if everything else ready[:_BATCH]
        if not ready:
            self._forget(now)
            return []
        found = self._memory.collect({kept.trace: kept.block for kept in ready})
        for kept in ready:
            del self._waiting[kept.trace]
            self._kept[kept.trace] = self._kept.pop(kept.trace)
            kept.block = self._memory.newest
        jobs = [self._job(kept, found[kept.trace], now, everything=everything) for kept in ready]
        return [job for job in jobs if job.parts or job.triggers]

    def _job(self, kept: Kept, entries: Iterable[Entry], now: float, *, everything: bool) -> Job:
        fresh: dict[int, list[Entry]] = {number: [] for number in kept.told}
        for entry in entries:
            if entry.position > kept.marks.get(entry.process, -1):
                fresh.setdefault(entry.process, []).append(entry)
        parts = []
        for number, new in fresh.items():
            process = self._processes.get(number)
            if process is None:
                continue
            told = kept.told.setdefault(number, Spans(kept.trace.hex()))
            if new or process.gone or everything:
                parts.append(Part(process, new, told, process.gone or everything))
            if new:
                kept.marks[number] = new[-1].position
        triggers, kept.new = kept.new, []
        deadline = now if everything else now + SOURCES_S
        return Job(kept.trace.hex(), triggers, list(kept.names), parts, kept.numbers, deadline)

    def _forget(self, now: float) -> None:
        for trace in list(self._kept):
            kept = self._kept[trace]
            if len(self._kept) <= _MOST_KEPT and now - kept.last < REMEMBER_S:
                return
            if trace in self._waiting:
                return
            del self._kept[trace]
