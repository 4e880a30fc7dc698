"""Kept traces: when one is ready to go, and what of it has gone already (ARCHITECTURE.md, D7, first form)."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from aftertrace.agent.memory import Memory
from aftertrace.agent.parked import Entry
from aftertrace.agent.part import Job, Part
from aftertrace.agent.process import Process
from aftertrace.agent.ration import Ration
from aftertrace.agent.routes import IN_FLIGHT
from aftertrace.agent.spans import Spans
from aftertrace.agent.tell import Counts
from aftertrace.agent.watch import Trigger

SETTLE_S = 0.5  # quiet for so long: it is all there
LONGEST_SETTLE_S = 2.5
SOURCES_S = 3.0  # how long a recording waits for sources that are not handed over yet
REMEMBER_S = 300.0  # what arrives for a kept trace until then is shipped too
_MOST_KEPT = 10_000
_MOST_EXPECTED = 50_000  # traces that other agents kept, and of which nothing came here yet
_MOST_TRIGGERS = 16  # of one trace; and as many because of others
COMPANY = {"sibling", "neighbour"}  # what is kept because of another
ALONE = {"neighbour"}  # kept for what happened in this one service: the other agents are not told
_BATCH = 64  # traces taken out of memory at once


@dataclass(slots=True)
class Kept:
    """One trace. ``marks``: process -> position up to which its slices have gone; ``block``: of memory, likewise."""

    trace: bytes
    since: float  # of the first thing that has not gone, monotonic
    last: float  # of the newest
    new: list[tuple[Process, Trigger]] = field(default_factory=list)
    failures: set[tuple[int, str, str]] = field(default_factory=set)  # process, trigger, span; those that are known
    company: set[tuple[int, str, str]] = field(default_factory=set)  # likewise, of COMPANY: it leaves failures room
    names: list[str] = field(default_factory=list)
    marks: dict[int, int] = field(default_factory=dict)
    told: dict[int, Spans] = field(default_factory=dict)  # process -> what is known of its spans
    block: int = 0
    numbers: dict[int, int] = field(default_factory=dict)
    failed: bool = False  # by a trigger of ours, or another agent's
    announced: bool = False  # to the other agents
    weight: float = 0.0  # of our triggers
    left_out: int = 0  # requests that would have been kept because of it, had there been room
    hangs: bool = False  # its open spans are told, too
    shipped: set[str] = field(default_factory=set)  # services of which something has gone

    def due(self) -> float:
        return min(self.last + SETTLE_S, self.since + LONGEST_SETTLE_S)


@dataclass(frozen=True, slots=True)
class Report:
    """What of a kept trace was here, by service: what the other agents' marks are answered with."""

    trace: bytes
    shipped: frozenset[str]
    overwritten: frozenset[str]


class Keeper:
    """Turns triggers into jobs. ``processes``: all that are remembered, by number. ``fresh`` has of each trace the
    first trigger that is not of this service alone, ``reports`` what was had of kept ones: both for the other agents,
    the oldest are lost."""

    def __init__(
        self, memory: Memory, processes: Mapping[int, Process], counts: Counts, ration: Ration | None = None
    ) -> None:
        self._memory = memory
        self._ration = ration or Ration(0)
        self._processes = processes
        self._counts = counts
        self._kept: dict[bytes, Kept] = {}  # the one that was at rest longest is first
        self._waiting: dict[bytes, Kept] = {}  # those with something that has not gone
        self._expected: dict[bytes, tuple[float, str]] = {}  # marked by others: when, and by which trigger
        self.fresh: deque[Trigger] = deque(maxlen=_MOST_KEPT)
        self.reports: deque[Report] = deque(maxlen=_MOST_KEPT)

    def __contains__(self, trace: bytes | None) -> bool:
        return trace in self._kept or trace in self._expected

    def trigger(self, process: Process, trigger: Trigger) -> None:
        """The trace is kept, once for each trigger that each span shows."""
        kept = self._kept.get(trigger.trace) or self._keep(trigger.trace)
        known = kept.failures if trigger.role == "failure" else kept.company
        self._counts.kept += not kept.failures and not kept.company
        if not kept.announced and trigger.name not in ALONE:
            kept.announced = True
            self.fresh.append(trigger)
        key = process.number, trigger.name, trigger.span + trigger.of.hex()
        if key not in known and len(known) < _MOST_TRIGGERS:
            known.add(key)
            kept.new.append((process, trigger))
            if trigger.role == "failure":
                kept.failed, kept.weight = True, max(kept.weight, trigger.weight)
                kept.hangs |= trigger.name == IN_FLIGHT
            if trigger.name not in kept.names:
                kept.names.append(trigger.name)
        self.touch(trigger.trace)

    def mark(self, trace: bytes, name: str) -> bool:
        """Another agent kept a trace, by a trigger of that name: what is remembered of it goes too, and what comes
        later. It is that agent which says that it was kept. False: nothing is remembered; it may still come."""
        self._counts.marked += trace not in self
        if trace in self._memory or trace in self._kept:
            kept = self._kept.get(trace) or self._keep(trace)
            if name not in kept.names:
                kept.names.append(name)
            kept.failed |= name not in COMPANY
            self.touch(trace)
            return True
        self._expected.pop(trace, None)
        self._expected[trace] = time.monotonic(), name
        if len(self._expected) > _MOST_EXPECTED:
            del self._expected[next(iter(self._expected))]
        self._report(trace, frozenset())
        return False

    def state(self, trace: bytes) -> str:
        """kept (here, or of another's mark), or not."""
        return "kept" if trace in self._kept else "not-kept"

    def _keep(self, trace: bytes) -> Kept:
        now = time.monotonic()
        kept = self._kept[trace] = Kept(trace, now, now)
        expected = self._expected.pop(trace, None)
        if expected is not None:
            kept.names.append(expected[1])
            kept.failed = expected[1] not in COMPANY
        return kept

    def has_failed(self, trace: bytes) -> bool:
        """Whether it is kept for what went wrong, here or at another agent."""
        kept = self._kept.get(trace)
        return kept is not None and kept.failed

    def weight_of(self, trace: bytes) -> float:
        """For how many requests it stands, if it is kept for a failure here; else 0."""
        kept = self._kept.get(trace)
        return kept.weight if kept is not None else 0.0

    def leave_out(self, trace: bytes, count: int) -> None:
        """So many are not kept because of this one: there is no room for them."""
        if (kept := self._kept.get(trace)) is not None:
            kept.left_out += count

    def remembers(self, trace: bytes) -> bool:
        """Whether it can still be kept."""
        return trace in self._memory

    def _report(self, trace: bytes, shipped: frozenset[str]) -> None:
        self.reports.append(Report(trace, shipped, frozenset(self._memory.departed.services(trace))))

    def touch(self, trace: bytes) -> None:
        """Something has come for a kept trace."""
        kept, now = self._kept.get(trace) or self._keep(trace), time.monotonic()
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
        """Seconds until the next trace is ready, and may leave; infinity when there is none."""
        now = time.monotonic()
        ready = min((kept.due() - now for kept in self._waiting.values()), default=float("inf"))
        return max(ready, self._ration.wait_s()) if self._waiting else ready

    def jobs(self, *, everything: bool = False) -> list[Job]:
        """What is ready now. ``everything``: the agent ends, what is not ready goes too."""
        now = time.monotonic()
        self._forget(now)
        ready = [kept for kept in self._waiting.values() if everything or kept.due() <= now]
        if not everything:
            ready = sorted(ready, key=lambda kept: not kept.failed)[:_BATCH]  # what failed goes first
        if not ready:
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
            if new or process.gone or everything or kept.hangs:
                parts.append(Part(process, new, told, process.gone or everything, kept.hangs))
            if new:
                kept.marks[number] = new[-1].position
        services = {part.process.ring.service for part in parts if part.entries}
        if services - kept.shipped or not kept.shipped:
            kept.shipped |= services
            self._report(kept.trace, frozenset(kept.shipped))
        triggers, kept.new = kept.new, []
        deadline = now if everything else now + SOURCES_S
        return Job(kept.trace.hex(), triggers, list(kept.names), parts, kept.numbers, deadline, kept.left_out)

    def _forget(self, now: float) -> None:
        while self._expected and now - next(iter(self._expected.values()))[0] >= REMEMBER_S:
            del self._expected[next(iter(self._expected))]
        while self._kept:
            trace, kept = next(iter(self._kept.items()))
            if trace in self._waiting or (len(self._kept) <= _MOST_KEPT and now - kept.last < REMEMBER_S):
                return
            del self._kept[trace]
