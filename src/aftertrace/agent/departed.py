"""Traces that have left memory, and of which services they were: some bytes each, so that coverage can tell
"overwritten" from "never seen"."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections import deque
from collections.abc import Iterable

MOST = 1 << 20  # traces' parts, 8 bytes each
_RUN = MOST >> 6  # in a sorted run
_SERVICE_BITS = 16
_MOST_SERVICES = 1 << _SERVICE_BITS
_KEY_BYTES = 6  # of a trace id's end: the beginnings of some are times


class Departed:
    """First in, first out. A key of 48 bits: of a million parts one in 10^8 questions is answered wrongly."""

    def __init__(self, most: int = MOST, run: int = _RUN) -> None:
        self._most, self._run = most, run
        self._services: list[str] = []
        self._numbers: dict[str, int] = {}
        self._open: dict[int, set[int]] = {}
        self._open_size = 0
        self._runs: deque[array[int]] = deque()

    def add(self, trace: bytes, services: Iterable[str]) -> None:
        known = self._open.setdefault(_key(trace), set())
        before = len(known)
        known.update(self._number(service) for service in services)
        self._open_size += len(known) - before
        if self._open_size >= self._run:
            self._seal()

    def services(self, trace: bytes) -> set[str]:
        """Of which something of the trace has left; none: it was not here, or left long ago."""
        key = _key(trace)
        found = set(self._open.get(key, ()))
        for run in self._runs:
            at = bisect_left(run, key << _SERVICE_BITS)
            while at < len(run) and run[at] >> _SERVICE_BITS == key:
                found.add(run[at] & (_MOST_SERVICES - 1))
                at += 1
        return {self._services[number] for number in found}

    def _number(self, service: str) -> int:
        number = self._numbers.get(service)
        if number is None:
            if len(self._services) >= _MOST_SERVICES:  # nobody has so many: the last one stands for the rest
                return _MOST_SERVICES - 1
            number = self._numbers[service] = len(self._services)
            self._services.append(service)
        return number

    def _seal(self) -> None:
        self._runs.append(
            array("Q", sorted(key << _SERVICE_BITS | number for key, held in self._open.items() for number in held))
        )
        self._open, self._open_size = {}, 0
        while len(self._runs) * self._run > self._most:
            self._runs.popleft()


def _key(trace: bytes) -> int:
    return int.from_bytes(trace[-_KEY_BYTES:], "little")
