"""What this agent and the others have to do with each other: marks to and fro, what was had of a kept trace."""

from __future__ import annotations

from aftertrace.agent import redact
from aftertrace.agent.fleet import Fleet
from aftertrace.agent.tails import Tails
from aftertrace.wire.fleet import MOST_SERVICES, Mark, Part

_ALONE = {"neighbour"}  # kept for what happened in this one service


class Company:
    """For the agent's loop, between its parts and the threads that speak with the server."""

    def __init__(self, fleet: Fleet, tails: Tails) -> None:
        self._fleet = fleet
        self._tails = tails

    def hear(self) -> None:
        """What came from the server."""
        for answer in self._fleet.heard():
            for mark in answer.marks:
                self._mark(mark)
        self.tell()

    def _mark(self, mark: Mark) -> None:
        self._tails.keeper.mark(bytes.fromhex(mark.trace), mark.trigger)

    def tell(self) -> None:
        """What happened here since the last time, and what is recorded now."""
        self._fleet.recorded({one.ring.service for one in self._tails.alive.values()})
        keeper = self._tails.keeper
        while keeper.fresh:
            trigger = keeper.fresh.popleft()
            if trigger.name not in _ALONE:
                self._fleet.mark(trigger.trace, trigger.name, redact.text(trigger.reason))
        if not keeper.reports:
            return
        horizon = round(self._tails.memory.horizon_s(), 1)
        while keeper.reports:
            report = keeper.reports.popleft()
            shipped, overwritten = (tuple(sorted(one))[:MOST_SERVICES] for one in (report.shipped, report.overwritten))
            self._fleet.part(Part(report.trace.hex(), shipped, overwritten, horizon))
