"""The clients, in a process of their own: `python -m benchmarks.keeping.load` reads one JSON plan from stdin.

Plan: ``{"host", "port", "rate", "connections", "seconds", "seed", "edges": [[at, path, trace]], "storm": {"host",
"port", "rate", "begin", "end"} or null}``. ``rate`` > 0: requests arrive at times of their own (Poisson), whatever is
under way; 0: ``connections`` clients, each asks again once it was answered. Prints ``{"began"}`` (monotonic) at once,
and at the end ``{"answers": [[at, seconds, status]], "edges": [[trace, at, seconds, status]], "storm": [sent,
failed]}``; ``at`` is when a request should have begun, seconds after the beginning, status 0: no answer.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from benchmarks.keeping.edges import SHELVES

PATIENCE_S = 20.0
_MOST_STORMING = 64  # connections


class Client:
    """Keep-alive connections to one service."""

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self._free: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def ask(self, method: str, path: str, headers: str = "") -> int:
        """The status; 0: none came."""
        try:
            return await asyncio.wait_for(self._ask(method, path, headers), PATIENCE_S)
        except (OSError, TimeoutError, asyncio.IncompleteReadError, ValueError, IndexError):
            return 0

    async def _ask(self, method: str, path: str, headers: str) -> int:
        fresh = not self._free
        reader, writer = self._free.pop() if self._free else await asyncio.open_connection(self._host, self._port)
        request = f"{method} {path} HTTP/1.1\r\nHost: {self._host}\r\nContent-Length: 0\r\n{headers}\r\n".encode()
        try:
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
        except (OSError, asyncio.IncompleteReadError):
            writer.close()
            if fresh:
                raise
            return await self._ask(method, path, headers)  # the service had closed the kept connection
        except BaseException:
            writer.close()
            raise
        status, lower = int(head.split(b" ", 2)[1]), head.lower()
        at = lower.find(b"content-length:")
        if at >= 0:
            await reader.readexactly(int(lower[at + 15 :].split(b"\r", 1)[0]))
        if at < 0 or b"connection: close" in lower:
            writer.close()
        else:
            self._free.append((reader, writer))
        return status


@dataclass(slots=True)
class Load:
    plan: dict[str, Any]
    began: float = 0.0
    answers: list[tuple[float, float, int]] = field(default_factory=list)
    edges: list[tuple[str, float, float, int]] = field(default_factory=list)
    storm: list[int] = field(default_factory=lambda: [0, 0])

    def now(self) -> float:
        return time.monotonic() - self.began

    async def run(self) -> None:
        plan = self.plan
        client, edge_client = Client(plan["host"], plan["port"]), Client(plan["host"], plan["port"])
        self.began = time.monotonic()
        print(json.dumps({"began": self.began}), flush=True)
        ways = [self._paced(client)] if plan["rate"] else [self._closed(client, n) for n in range(plan["connections"])]
        ways.append(self._edges(edge_client))
        if plan["storm"]:
            ways.append(self._storm(plan["storm"]))
        await asyncio.gather(*ways)

    async def _at(self, times: list[float], act: Callable[[int], Awaitable[None]]) -> None:
        """Begins each at its time, whatever is under way; ends with the last of them."""
        async with asyncio.TaskGroup() as group:
            for number, at in enumerate(times):
                await asyncio.sleep(max(at - self.now(), 0.0))
                group.create_task(act(number))  # type: ignore[arg-type]

    async def _paced(self, client: Client) -> None:
        chance, times = random.Random(self.plan["seed"]), [0.0]
        while times[-1] < self.plan["seconds"]:
            times.append(times[-1] + chance.expovariate(self.plan["rate"]))
        await self._at(times[:-1], lambda number: self._one(client, number, times[number]))

    async def _closed(self, client: Client, first: int) -> None:
        number = first
        while (at := self.now()) < self.plan["seconds"]:
            await self._one(client, number, at)
            number += self.plan["connections"]

    async def _one(self, client: Client, number: int, at: float) -> None:
        status = await client.ask("POST", f"/buy/{SHELVES[number % len(SHELVES)]}?number={number}")
        self.answers.append((at, self.now() - at, status))

    async def _edges(self, client: Client) -> None:
        edges = self.plan["edges"]

        async def one(number: int) -> None:
            at, path, trace = edges[number]
            span = random.randbytes(8).hex()
            status = await client.ask("POST", path, f"traceparent: 00-{trace}-{span}-01\r\n")
            self.edges.append((trace, at, self.now() - at, status))

        await self._at([edge[0] for edge in edges], one)

    async def _storm(self, storm: dict[str, Any]) -> None:
        """So many failures a second as ``rate`` says, as long as 64 connections can bring them."""
        client, free = Client(storm["host"], storm["port"]), asyncio.Semaphore(_MOST_STORMING)
        count = round((storm["end"] - storm["begin"]) * storm["rate"])
        times = [storm["begin"] + number / storm["rate"] for number in range(count)]

        async def one(number: int) -> None:
            async with free:
                if self.now() < storm["end"]:
                    status = await client.ask("GET", f"/broken?number={number}")
                    self.storm[0] += 1
                    self.storm[1] += status == 500

        await self._at(times, one)


def main() -> None:
    load = Load(json.loads(sys.stdin.readline()))
    asyncio.run(load.run())
    told = {"answers": load.answers, "edges": load.edges, "storm": load.storm}
    print(json.dumps(told), flush=True)


if __name__ == "__main__":
    main()
