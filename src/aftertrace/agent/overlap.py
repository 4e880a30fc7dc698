"""Neighbours: the requests of a service that overlapped one in time, on this host's one clock."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterable
from dataclasses import dataclass

from aftertrace.agent.requests import Request

MOST = 12  # of a request: those that can have taken part in a race with it
_REMEMBERED = 512  # finished requests of a service
_MOST_SERVICES = 256


@dataclass(frozen=True, slots=True)
class Past:
    """A request that has ended; ticks."""

    trace: bytes
    name: str
    started: int
    ended: int
    well: bool


class Overlaps:
    def __init__(self) -> None:
        self._past: OrderedDict[str, deque[Past]] = OrderedDict()

    def add(self, service: str, request: Request) -> None:
        past = self._past.get(service)
        if past is None:
            past = self._past[service] = deque(maxlen=_REMEMBERED)
            if len(self._past) > _MOST_SERVICES:
                self._past.popitem(last=False)
        well = not request.failed and request.status < 400
        past.append(Past(request.trace, request.name, request.started, request.ended, well))

    def of(self, service: str, request: Request, at_work: Iterable[Request]) -> list[bytes]:
        """Traces that overlapped one that has just ended: those of its own route first, then those that went well,
        then those that were beside it longest."""
        others = [
            *self._past.get(service, ()),
            *(Past(one.trace, one.name, one.started, request.ended, well=True) for one in at_work),
        ]
        found: dict[bytes, tuple[bool, bool, int]] = {}
        for one in others:
            shared = min(one.ended, request.ended) - max(one.started, request.started)
            if shared >= 0 and one.trace != request.trace:
                # what is at work is called after its route when it ends: it may be of ours
                other_route = one.name != request.name and not request.name.startswith(f"{one.name} ")
                rank = other_route, not one.well, -shared
                found[one.trace] = min(found.get(one.trace, rank), rank)
        return sorted(found, key=lambda trace: found[trace])[:MOST]
