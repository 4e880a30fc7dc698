"""The shop as real recorded processes, every checkout of it kept: what a failing one is compared with is real, too.

Triggers are the agent's business. Here the gateway asks for each request to be kept; of what comes of it one becomes
the failure that is asked about, the others are healthy siblings.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from aftertrace.cli import client
from aftertrace.cli.demo import variants
from aftertrace.cli.demo.processes import Shop, free_ports
from aftertrace.cli.demo.sources import shop_sources
from aftertrace.cli.demo.stage import Stage, record
from aftertrace.wire.bundle import TraceData

_KEEPING = """

class KeepsAll:
    def __init__(self, inner):
        self.inner, self.count = inner, 0

    async def __call__(self, scope, receive, send):
        import aftertrace

        if scope["type"] == "http":
            self.count += 1
            aftertrace.keep(f"asked about {self.count}")  # many of one reason would be a storm
        await self.inner(scope, receive, send)


app.add_middleware(KeepsAll)
"""


@contextmanager
def kept_shop(directory: Path, seed: int | None) -> Iterator[tuple[Stage, Shop]]:
    """A variant under the recorder, with a server and an agent of its own."""
    with Stage.open(directory) as stage:
        stage.up()
        variant = variants.make(shop_sources(), directory / "shop", seed)
        front = next(one for one in variant.manifest["services"] if one["role"] == "front")
        module = next(word for word in front["command"] if word.endswith(":app")).partition(":")[0]
        file = variant.root / f"{module.replace('.', '/')}.py"
        file.write_text(file.read_text() + _KEEPING)
        shop = Shop(variant, directory / "data", stage.processes, dict(stage.env), record)
        shop.start(free_ports(3))
        yield stage, shop


def checkouts(stage: Stage, count: int, seconds: float = 40) -> list[TraceData]:
    """The requests over three services, oldest first, once there are so many and none of them grows."""
    until, before = time.monotonic() + seconds, ""
    while True:
        rows = [row for row in stage.kept() if len(row["services"]) >= 3]
        now = f"{[(row['trace_id'], row['spans'], row['services']) for row in rows]}"
        if (len(rows) >= count and now == before) or time.monotonic() > until:
            break
        before = now
        time.sleep(1.0)
    traces = [client.bundle(row["trace_id"], settings=stage.settings) for row in rows]
    return sorted(traces, key=lambda one: min(span.start_ns for span in one.spans))


def marked(trace: TraceData, trigger: str, service: str, group: str = "") -> TraceData:
    """As the agent would have kept it."""
    keep = replace(trace.keeps[0], trigger=trigger, service=service, reason="", group=group, role="failure")
    return replace(trace, keeps=[keep])
