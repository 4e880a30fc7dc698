"""Several requests to programs under the native recorder: failing ones, and the healthy ones that they are compared
with."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from aftertrace.errors import NotFound
from aftertrace.explain.diff import diff
from aftertrace.explain.scene.company import Company
from aftertrace.explain.why import why
from aftertrace.model import Keep
from aftertrace.reconstruct.build import build
from aftertrace.wire.bundle import Group, KeptTrace, TraceData

from ..reconstruct.services import Services

GROUP = "0123456789abcdef"


@dataclass
class Requests:
    """Traces as the store gives them: by id, with those of a group and the healthy ones beside them."""

    failing: list[TraceData] = field(default_factory=list)
    healthy: list[TraceData] = field(default_factory=list)
    count: float = 0.0  # requests that the group stands for; 0: those that are kept

    def trace(self, trace_id: str) -> TraceData:
        for one in (*self.failing, *self.healthy):
            if one.trace_id == trace_id:
                return one
        raise NotFound("no-such-trace", f"Trace {trace_id} is not there.", "")

    def traces(self, trace_ids: Sequence[str]) -> Iterator[TraceData]:
        known = {one.trace_id: one for one in (*self.failing, *self.healthy)}
        return (known.get(one, TraceData(one)) for one in trace_ids)

    def resolve(self, given: str, /) -> str:
        return next(one.trace_id for one in (*self.failing, *self.healthy) if one.trace_id.startswith(given))

    def kept(self, limit: int, query: str) -> list[KeptTrace]:
        raise NotImplementedError

    def groups(self, since_ns: int, until_ns: int, limit: int) -> list[Group]:
        if not self.failing or not limit:
            return []
        times = [keep.time_ns for one in self.failing for keep in one.keeps]
        versions = sorted({keep.version for one in self.failing for keep in one.keeps if keep.version})
        count = self.count or len(self.failing)
        return [
            Group(
                id=GROUP, title="it fails", count=count, kept=len(self.failing), first_ns=min(times),
                last_ns=max(times), trend=[], services=[], routes=["POST /x"], versions=versions,
                newest=self.failing[-1].trace_id,
            )
        ]  # fmt: skip

    def members(self, group: str, limit: int) -> list[str]:
        return [one.trace_id for one in self.failing][:limit] if group == GROUP else []

    def siblings(self, trace_id: str, limit: int) -> list[str]:
        return [one.trace_id for one in self.healthy if one.trace_id != trace_id][:limit]

    def neighbours(self, trace_id: str, limit: int) -> list[str]:
        return []

    def why(self, number: int = 0) -> dict[str, Any]:
        """What is said of one of the failing requests."""
        trace = self.failing[number]
        return why(build(trace), Company(self, trace.trace_id)).to_json()

    def diff(self, number: int = 0, other: str = "") -> dict[str, Any]:
        return diff(self, self.failing[number].trace_id, other).to_json()


def requests(
    services: Services,
    bad: Sequence[Any],
    good: Sequence[Any],
    *,
    trigger: str = "unhandled-exception",
    path: str = "/x",
) -> Requests:
    """One request for each body, to the first of the services; the healthy ones first, as it is in life."""
    first = next(iter(services.services))
    healthy = [services.trace(services.request(first, path, body)) for body in good]
    failing = [_kept(services.trace(services.request(first, path, body)), first, trigger) for body in bad]
    return Requests(failing, healthy)


def _kept(trace: TraceData, service: str, trigger: str) -> TraceData:
    at = max((one.end_ns for one in trace.spans), default=1)
    keep = Keep(trace.trace_id, trigger, "", service, "", at, route="POST /x", group=GROUP, title="it fails")
    return replace(trace, keeps=[keep])
