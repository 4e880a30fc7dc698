"""Code that took part in a failure is recorded at lines for a while, in all processes of its service (D6): the second
failure is recorded in full."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from queue import Empty, SimpleQueue

from aftertrace.agent.part import Part
from aftertrace.wire.handover import Focus

type Place = tuple[str, int]  # path, first line: a function, the same in every process of its service

SECONDS = 1800.0
_AGAIN_S = SECONDS / 2  # a function that goes on failing is told of anew
_MOST_PLACES = 4096  # of one service
_MOST_SERVICES = 1024
_MOST_TOLD = 1000  # in one message


class Focuses:
    """``took_part`` is called by the thread that packs, the rest by the one that serves the processes."""

    def __init__(self) -> None:
        self._new: SimpleQueue[tuple[str, list[Place]]] = SimpleQueue()
        self._until: dict[str, dict[Place, float]] = {}  # by service

    def took_part(self, part: Part) -> None:
        """A kept part of a request that failed."""
        places = [
            (part.definitions.files[code.file_id], code.first_line)
            for code in part.definitions.codes.values()
            if code.file_id in part.definitions.files and part.definitions.files[code.file_id] in part.needed
        ]
        if places:
            self._new.put((part.process.ring.service, places))

    def fresh(self) -> Iterator[tuple[str, Focus]]:
        """(service, what its processes are to be told), as far as they were not told of late."""
        while True:
            try:
                service, places = self._new.get_nowait()
            except Empty:
                return
            fresh = self._remember(service, places)
            yield from ((service, message) for message in _messages(fresh, SECONDS))

    def of(self, service: str) -> list[Focus]:
        """For a process that begins: what the others of its service were told."""
        now = time.monotonic()
        held = {place: until for place, until in self._until.get(service, {}).items() if until > now}
        if not held:
            return []
        return list(_messages(list(held), min(held.values()) - now))

    def _remember(self, service: str, places: Iterable[Place]) -> list[Place]:
        now = time.monotonic()
        known = self._until.pop(service, {})
        self._until[service] = known  # the service that failed last is last
        fresh = [place for place in places if known.get(place, 0.0) < now + _AGAIN_S]
        for place in fresh:
            known.pop(place, None)
            known[place] = now + SECONDS
        while len(known) > _MOST_PLACES:
            del known[next(iter(known))]
        while len(self._until) > _MOST_SERVICES:
            del self._until[next(iter(self._until))]
        return fresh


def _messages(places: list[Place], seconds: float) -> Iterator[Focus]:
    for start in range(0, len(places), _MOST_TOLD):
        yield Focus(tuple(places[start : start + _MOST_TOLD]), seconds)
