"""The shop as real recorded processes whose carts are kept when they are read, so that slow and usual ones compare.

Latency is a trigger of the agent; here the gateway asks for each request to be kept, and what was asked about becomes
a mark of latency, the others healthy siblings of its route, as the agent would say.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from aftertrace.cli import client
from aftertrace.cli.demo import variants
from aftertrace.cli.demo.processes import Shop, free_ports
from aftertrace.cli.demo.sources import shop_sources
from aftertrace.cli.demo.stage import Stage, record
from aftertrace.errors import NotFound
from aftertrace.model import Keep
from aftertrace.wire.bundle import Group, KeptTrace, TraceData

_KEEPING = """

class KeepsAll:
    def __init__(self, inner):
        self.inner, self.count = inner, 0

    async def __call__(self, scope, receive, send):
        import aftertrace

        if scope["type"] == "http" and scope["method"] == "GET" and scope["path"].count("/") > 1:
            self.count += 1
            aftertrace.keep(f"asked about {self.count}")  # many of one reason would be a storm
        await self.inner(scope, receive, send)


app.add_middleware(KeepsAll)
"""


GROUP = "5107" * 4  # of the slow ones


class Traces:
    """Sources of several traces: one that is asked about, siblings of it, and members of its group."""

    def __init__(self, traces: list[TraceData], siblings: list[str], members: list[str] | None = None) -> None:
        self._traces = {one.trace_id: one for one in traces}
        self._siblings, self._members = siblings, members or []

    def trace(self, trace_id: str) -> TraceData:
        if trace_id not in self._traces:
            raise NotFound("no-such-trace", f"Trace {trace_id} is not here.", "")
        return self._traces[trace_id]

    def traces(self, trace_ids: Sequence[str]) -> Iterator[TraceData]:
        return (self._traces.get(one, TraceData(one)) for one in trace_ids)

    def resolve(self, given: str, /) -> str:
        return next(one for one in self._traces if one.startswith(given))

    def kept(self, limit: int, query: str) -> list[KeptTrace]:
        return []

    def groups(self, since_ns: int, until_ns: int, limit: int) -> list[Group]:
        return []

    def members(self, group: str, limit: int) -> list[str]:
        return self._members[:limit] if group == GROUP else []  # others are the agent's own

    def siblings(self, trace_id: str, limit: int) -> list[str]:
        return [one for one in self._siblings if one != trace_id][:limit]

    def neighbours(self, trace_id: str, limit: int) -> list[str]:
        return []


def kept_for(trace: TraceData, trigger: str, time_ns: int = 0) -> TraceData:
    """The same trace as if the agent had kept it for that, at that time."""
    root = min(trace.spans, key=lambda one: one.start_ns)
    keep = trace.keeps[0] if trace.keeps else Keep(trace.trace_id, trigger, "", root.service, "", root.start_ns)
    return replace(trace, keeps=[replace(keep, trigger=trigger, time_ns=time_ns or keep.time_ns, group=GROUP)])


def as_siblings(traces: list[TraceData]) -> list[TraceData]:
    """As the agent marks healthy requests."""
    return [
        replace(one, keeps=[replace(keep, trigger="sibling", reason="", role="sibling") for keep in one.keeps[:1]])
        for one in traces
    ]


@contextlib.contextmanager
def keeping_shop(directory: Path, seed: int | None) -> Iterator[tuple[Stage, Shop]]:
    """A stage, and a shop of which each reading of a cart is kept, until the end of the block."""
    directory.mkdir(parents=True, exist_ok=True)
    with Stage.open(directory) as stage:
        stage.up()
        variant = variants.make(shop_sources(), directory / "shop", seed)
        front = next(one["name"] for one in variant.manifest["services"] if one["role"] == "front")
        with (variant.root / front / "app.py").open("a") as text:
            text.write(_KEEPING)
        shop = Shop(variant, directory / "data", stage.processes, dict(stage.env), record)
        shop.start(free_ports(3))
        yield stage, shop


def fetched(stage: Stage, wanted: Callable[[str], bool], least: int, seconds: float = 40) -> list[TraceData]:
    """The kept traces of some routes, newest first, once there are so many of them and no more come."""
    deadline, before = time.monotonic() + seconds, -1
    while time.monotonic() < deadline:
        rows = [one for one in stage.kept() if wanted(one["name"])]
        if len(rows) >= least and len(rows) == before:
            break
        before = len(rows)
        time.sleep(1)
    return [client.bundle(row["trace_id"], settings=stage.settings) for row in rows]
