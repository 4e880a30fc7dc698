"""What is usual on a route, and what of a finished request is not: slow, an exception or ERROR record rare there.

A route is what the request's span is called (``GET /cart/{id}``): semantic conventions keep that of few kinds. Where a
program does not, what comes late shares one route.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field

from aftertrace.agent.latency import Latency
from aftertrace.agent.requests import Request
from aftertrace.agent.watch import Trigger

LATENCY, HANDLED, ERROR_LOG, IN_FLIGHT = "latency", "handled-exception", "error-log", "in-flight"
FEW, MANY = 10, 100  # requests of a route: before the first nothing is unusual, from the second on quantiles are known
RARE = 0.01  # share of a route's requests
OTHERS = "(other routes)"
_EACH = 16  # requests, after which the quantiles of a known route are looked up again
_MOST_ROUTES = 1000  # of a service
_MOST_MARKS = 256  # fingerprints of a route
_FORGET_AT = 8192  # requests: then each counts half


@dataclass(slots=True)
class Route:
    """``latency`` in ns of requests that did not fail; how often which exception was handled, which ERROR logged."""

    service: str
    name: str
    count: float = 0.0
    latency: Latency = field(default_factory=Latency)
    _usual: tuple[int, int, int] = (0, 0, 0)  # p50, p99, and above what a request is slow
    _known: float = 0.0  # requests of which that was made
    _marks: OrderedDict[str, float] = field(default_factory=OrderedDict)

    def judge(self, request: Request, duration: int) -> Iterator[Trigger]:
        """Why a request that did not fail is kept all the same, by what was usual before it."""
        if slow := self._slow(duration):
            yield Trigger(request.trace, LATENCY, request.span, request.ended, slow)
        for mark, origin in request.handled.items():
            if self._is_rare(mark):
                reason = f"{origin.type}, handled, rare on this route"
                yield Trigger(request.trace, HANDLED, request.span, request.ended, reason, origin=origin)
        for mark, ticks in request.logged.items():
            if self._is_rare(mark):
                reason = f"ERROR logged by {mark.rpartition(':')[0] or 'the root logger'}"
                yield Trigger(request.trace, ERROR_LOG, request.span, ticks, reason)

    def add(self, request: Request, duration: int) -> None:
        self.count += 1
        if not request.failed:
            self.latency.add(duration)
        for mark in (*request.handled, *request.logged):
            self._marks[mark] = self._marks.get(mark, 0.0) + 1
            self._marks.move_to_end(mark)
        while len(self._marks) > _MOST_MARKS:
            self._marks.popitem(last=False)
        if self.count >= _FORGET_AT:
            self.count /= 2
            self._marks = OrderedDict((mark, count / 2) for mark, count in self._marks.items() if count >= 1)

    def _slow(self, duration: int) -> str:
        """Above the route's own p99; while few are known, far above what most took."""
        known = self.latency
        if known.count < FEW:
            return ""
        if known.count < MANY or not 0 <= known.count - self._known < _EACH:
            p50, p99 = known.quantile(0.5), known.quantile(0.99)
            limit = max(p99 * 3 // 2, p50 * 2) if known.count >= MANY else max(known.quantile(0.85) * 3, p50 * 5)
            self._usual, self._known = (p50, p99, limit), known.count
        p50, p99, limit = self._usual
        return f"{show(duration)} (p50 {show(p50)}, p99 {show(p99)})" if duration > limit else ""

    def _is_rare(self, mark: str) -> bool:
        """New on a route that is known a little; or in less than a hundredth of its requests."""
        seen = self._marks.get(mark, 0.0)
        return (seen < 1 and self.count >= FEW) or seen + 1 < RARE * self.count

    def hang_after(self, least_s: float) -> float:
        """Seconds after which an open request hangs."""
        return max(least_s, 20 * self.latency.quantile(0.99) / 1e9 if self.latency.count >= FEW else 0.0)


class Routes:
    """By service and name."""

    def __init__(self) -> None:
        self._routes: dict[str, dict[str, Route]] = {}

    def of(self, service: str, name: str) -> Route:
        routes = self._routes.setdefault(service, {})
        route = routes.get(name)
        if route is None:
            name = name if len(routes) < _MOST_ROUTES else OTHERS
            route = routes.setdefault(name, Route(service, name))
        return route


def show(ns: int) -> str:
    """As a person reads a duration."""
    for limit, unit in ((10**3, "ns"), (10**6, "us"), (10**9, "ms")):
        if ns < limit:
            value = ns * 1000 / limit
            return f"{value:.0f} {unit}" if value >= 10 else f"{value:.1f} {unit}"
    return f"{ns / 1e9:.2f} s"
