"""Which requests of this host are kept: what its processes' records show, weighed against storms, with its company."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import replace

from aftertrace.agent.keep import Keeper
from aftertrace.agent.overlap import Overlaps
from aftertrace.agent.process import Process
from aftertrace.agent.ration import Ration
from aftertrace.agent.requests import Request
from aftertrace.agent.routes import IN_FLIGHT, Route, Routes, show
from aftertrace.agent.siblings import Siblings
from aftertrace.agent.storms import Storms
from aftertrace.agent.tell import Counts
from aftertrace.agent.watch import DEATH, KEEP, Trigger

SIBLING, NEIGHBOUR = "sibling", "neighbour"
_LOOK_S = 0.5  # between two looks for requests that hang
_REASON = 80  # of a keep(reason): what tells storms apart


class Judge:
    """``alive`` gives the processes whose rings are read; ``hang_s``: seconds that a request may take at least."""

    def __init__(
        self,
        keeper: Keeper,
        alive: Callable[[], Iterable[Process]],
        counts: Counts,
        hang_s: float,
        clock: Callable[[], float] = time.monotonic,
        *,
        ration: Ration | None = None,
    ) -> None:
        self._keeper = keeper
        self._alive = alive
        self._counts = counts
        self._hang_s = hang_s
        self._clock = clock
        self._ration = ration or Ration(0)
        self._routes = Routes()
        self._storms = Storms(clock)
        self._siblings = Siblings(clock)
        self._overlaps = Overlaps()
        self._looked = clock()

    def take(self, process: Process, triggers: Iterable[Trigger]) -> None:
        """What one look at a process's ring showed: triggers, and the requests that have ended."""
        ended, process.watch.ended = process.watch.ended, []
        by_span = {request.span: request for request in ended}
        for trigger in triggers:
            request = by_span.get(trigger.span) or process.watch.at_work.get(trigger.trace)
            self._keep(process, trigger, request)
        for request in ended:
            self._end(process, request)

    def died(self, process: Process, sentence: str) -> None:
        for trigger in process.watch.died(sentence):
            self._keep(process, trigger, process.watch.at_work.get(trigger.trace))

    def _end(self, process: Process, request: Request) -> None:
        service = process.ring.service
        route = self._routes.of(service, request.name)
        duration = process.ns(request.ended - request.started)
        found = [] if request.failed else list(route.judge(request, duration))
        for trigger in found:
            self._keep(process, trigger, request)
        route.add(request, duration)
        if self._keeper.has_failed(request.trace):
            self._keep_company(process, request, route)
        elif not request.failed and not found:
            self._siblings.add((service, route.name), request.trace)
        self._overlaps.add(service, request)

    def _keep(self, process: Process, trigger: Trigger, request: Request | None) -> None:
        if request is not None:
            trigger = replace(trigger, route=request.name, request=request.span)
        weight = self._keeper.weight_of(trigger.trace) or self._admit(process.ring.service, trigger)
        if weight:
            self._keeper.trigger(process, replace(trigger, weight=weight))
        else:
            self._counts.turned_away += 1

    def _admit(self, service: str, trigger: Trigger) -> float:
        """Deaths are always kept."""
        if trigger.name == DEATH:
            return 1.0
        what = trigger.origin.fingerprint if trigger.origin is not None else trigger.name
        said = trigger.reason[:_REASON] if trigger.name == KEEP else ""
        # A request is called after its route when it ends: a keep() before that stands for itself.
        route = "" if trigger.name in {KEEP, IN_FLIGHT} else trigger.route
        group = service, trigger.name, route, what, said
        before = self._storms.squeezed
        weight = self._storms.admit(group, trigger.trace, self._ration.squeeze())
        self._counts.left_out += self._storms.squeezed - before
        return weight

    def _keep_company(self, process: Process, request: Request, route: Route) -> None:
        """Neighbours and siblings of a request that failed."""
        service = process.ring.service
        if self._keeper.weight_of(request.trace) > 1.0:  # of a storm: the first of it have their company
            return
        at_work = [
            one for other in self._alive() if other.ring.service == service for one in other.watch.at_work.values()
        ]
        overlapped = self._overlaps.of(service, request, at_work)
        if not self._ration.allows_company():
            self._leave_out(request, len(overlapped) + self._siblings.waiting((service, route.name)))
            return
        for trace in overlapped:
            reason = f"overlapped {request.trace.hex()[:8]} in {service}"
            neighbour = Trigger(trace, NEIGHBOUR, "", request.ended, reason, NEIGHBOUR, of=request.trace)
            self._keeper.trigger(process, neighbour)
        for trace, weight in self._siblings.take((service, route.name), self._is_healthy):
            reason = f"went well on the same route as {request.trace.hex()[:8]}"
            sibling = Trigger(trace, SIBLING, "", request.ended, reason, SIBLING, route.name, weight=weight)
            self._keeper.trigger(process, sibling)

    def _leave_out(self, request: Request, count: int) -> None:
        self._counts.left_out += count
        self._keeper.leave_out(request.trace, count)

    def _is_healthy(self, trace: bytes) -> bool:
        return self._keeper.remembers(trace) and not self._keeper.has_failed(trace)

    def look(self) -> None:
        """Requests that stay open, from time to time."""
        now = self._clock()
        if now - self._looked < _LOOK_S:
            return
        self._looked = now
        for process in self._alive():
            for request in process.watch.at_work.values():
                if not request.hung and now - request.read_at > self._hang_s:
                    self._hang(process, request, now)

    def _hang(self, process: Process, request: Request, now: float) -> None:
        route = self._routes.of(process.ring.service, request.name)
        if now - request.read_at > route.hang_after(self._hang_s):
            request.hung = True
            reason = f"open for {show(int((now - request.read_at) * 1e9))}"
            self._keep(process, Trigger(request.trace, IN_FLIGHT, request.span, reason=reason), request)
