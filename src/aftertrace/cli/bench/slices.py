"""Neighbouring slices: a reference, a candidate, the reference again, and so on, forward and then backward.

Each candidate's slice is compared with the mean of the two reference slices around it: a machine that becomes slower or
faster steadily changes no ratio, and one that jumps changes few.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from aftertrace.cli.bench.servers import Reading, Server

SLICE_S = 0.1
SETTLE_S = 0.03  # after a switch: caches, the load's first requests, code that is instrumented anew
LEAST_REQUESTS = 60  # of the reference in a slice: one more or less must not matter
LONGEST_S = 0.5


@dataclass(frozen=True, slots=True)
class Sample:
    """What one slice gave: ns of CPU and bytes for each request, requests per second."""

    cpu: float
    rate: float
    bytes: float


class Subject(Protocol):
    """What can be put under load for a moment."""

    @property
    def name(self) -> str: ...
    def enter(self) -> None: ...
    def read(self) -> Reading: ...
    def leave(self) -> None: ...


@dataclass(slots=True)
class Loaded:
    """A server of its own: its load is on for the slice."""

    server: Server

    @property
    def name(self) -> str:
        return self.server.tool.name

    def enter(self) -> None:
        self.server.begin()

    def read(self) -> Reading:
        return self.server.ask()

    def leave(self) -> None:
        self.server.rest()


@dataclass(slots=True)
class AtLevel:
    """A level in a server whose load is on all the time."""

    server: Server
    level: str
    name: str

    def enter(self) -> None:
        self.server.ask(f"level {self.level}")

    def read(self) -> Reading:
        return self.server.ask()

    def leave(self) -> None:
        """The next one switches."""


@dataclass(slots=True)
class Pair:
    """A candidate's slice beside the mean of the reference's two."""

    mine: Sample
    reference: Sample

    @property
    def cpu_ratio(self) -> float:
        return self.mine.cpu / self.reference.cpu

    @property
    def rate_ratio(self) -> float:
        return self.mine.rate / self.reference.rate


type Pairs = dict[str, list[Pair]]


def one_slice(subject: Subject, seconds: float) -> Sample:
    """Raises BenchFailed when the server is gone."""
    subject.enter()
    try:
        time.sleep(SETTLE_S)
        before = subject.read()
        after = _read_after(subject, before, seconds)
    finally:
        subject.leave()
    requests = after.requests - before.requests
    return Sample(
        (after.cpu - before.cpu) / requests,
        requests / (after.wall - before.wall) * 1e9,
        (after.bytes - before.bytes) / requests,
    )


def _read_after(subject: Subject, before: Reading, seconds: float) -> Reading:
    """At the slice's end; a slow server's slice goes on until it has answered a few."""
    while True:
        time.sleep(seconds)
        after = subject.read()
        if after.requests >= before.requests + 2:
            return after


def slice_seconds(reference: Sample) -> float:
    return min(max(SLICE_S, LEAST_REQUESTS / reference.rate), LONGEST_S)


def sweep(reference: Subject, candidates: Sequence[Subject], sweeps: int, progress: Callable[[int], None]) -> Pairs:
    """``sweeps`` times all candidates, with the reference between them. ``progress`` takes how many are done."""
    pairs: Pairs = {one.name: [] for one in candidates}
    seconds = slice_seconds(one_slice(reference, SLICE_S))
    for number in range(sweeps):
        before = one_slice(reference, seconds)
        for candidate in _turned(candidates, number):
            mine = one_slice(candidate, seconds)
            after = one_slice(reference, seconds)
            pairs[candidate.name].append(Pair(mine, _mean(before, after)))
            before = after
        progress(number + 1)
    return pairs


def _turned(candidates: Sequence[Subject], number: int) -> Iterable[Subject]:
    return reversed(candidates) if number % 2 else candidates


def _mean(one: Sample, other: Sample) -> Sample:
    return Sample((one.cpu + other.cpu) / 2, (one.rate + other.rate) / 2, (one.bytes + other.bytes) / 2)
