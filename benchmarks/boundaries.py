"""What the boundaries add: microseconds per request, call, statement, log record, thread and piece of work.

Each case is timed with and without the boundary, in turns, in one process that records spans; the medians are told.

    python benchmarks/boundaries.py
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import statistics
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import thread as pools
from typing import Any

import httpx
from starlette import applications
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from aftertrace import _native
from aftertrace.record import boundaries

ROUNDS = 41
HEADERS = [
    (b"host", b"127.0.0.1:8000"),
    (b"user-agent", b"python-httpx/0.28.1"),
    (b"accept", b"*/*"),
    (b"accept-encoding", b"gzip, deflate"),
    (b"connection", b"keep-alive"),
    (b"content-type", b"application/json"),
    (b"content-length", b"120"),
]
CALLER = (b"traceparent", b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")

type Switch = Callable[[bool], None]
type Work = Callable[[int], object]


def switch(*targets: tuple[Any, str]) -> Switch:
    """Puts the wrappers into their places, or what they wrap."""
    wrappers = [(owner, name, vars(owner)[name]) for owner, name in targets]

    def to(on: bool) -> None:
        for owner, name, wrapper in wrappers:
            setattr(owner, name, wrapper if on else wrapper.__wrapped__)

    return to


def asgi(headers: list[tuple[bytes, bytes]]) -> tuple[Switch, Work]:
    async def hello(_request: Any) -> PlainTextResponse:
        return PlainTextResponse("hello")

    app = Starlette(routes=[Route("/hello/{name}", hello)])

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None: ...

    async def requests(number: int) -> None:
        for _ in range(number):
            scope = {
                "type": "http",
                "http_version": "1.1",
                "method": "GET",
                "scheme": "http",
                "path": "/hello/you",
                "raw_path": b"/hello/you",
                "query_string": b"",
                "root_path": "",
                "headers": headers,
                "client": ("127.0.0.1", 50000),
                "server": ("127.0.0.1", 8000),
            }
            await app(scope, receive, send)

    return switch((applications.Starlette, "__call__")), lambda number: asyncio.run(requests(number))


def client() -> tuple[Switch, Work]:
    found = httpx.Client(transport=httpx.MockTransport(lambda _: httpx.Response(200)))
    request = found.build_request("GET", "http://127.0.0.1:8000/hello?x=1", headers={"a": "b"})

    def calls(number: int) -> None:
        for _ in range(number):
            found.send(request)

    return switch((httpx.Client, "send"), (httpx.Client, "_send_single_request")), calls


def statements() -> tuple[Switch, Work]:
    connections = [sqlite3.connect(":memory:", factory=sqlite3.Connection), sqlite3.connect(":memory:")]
    cursors = [connection.cursor() for connection in connections]
    chosen = [0]

    def work(number: int) -> None:
        cursor = cursors[chosen[0]]
        for _ in range(number):
            cursor.execute("select 1 where ? = 2", (2,)).fetchall()

    return lambda on: chosen.__setitem__(0, int(on)), work


def logs() -> tuple[Switch, Work]:
    logger = logging.getLogger("benchmark")
    logger.propagate = False
    logger.addHandler(logging.NullHandler())

    def work(number: int) -> None:
        for n in range(number):
            logger.warning("order %s has %d lines", "A-17", n)

    return switch((logging.Logger, "callHandlers")), work


def threads() -> tuple[Switch, Work]:
    def work(number: int) -> None:
        for _ in range(number):
            thread = threading.Thread(target=int)
            thread.start()
            thread.join()

    return switch((threading.Thread, "start"), (threading.Thread, "_bootstrap_inner")), work


def pool() -> tuple[Switch, Work]:
    executor = ThreadPoolExecutor(1)

    def work(number: int) -> None:
        for future in [executor.submit(int) for _ in range(number)]:
            future.result()

    return switch((pools._WorkItem, "__init__"), (pools._WorkItem, "run")), work  # noqa: SLF001  # what is patched


CASES: dict[str, tuple[Callable[[], tuple[Switch, Work]], int]] = {
    "ASGI request, 7 headers": (lambda: asgi(HEADERS), 500),
    "ASGI request with a caller": (lambda: asgi([*HEADERS, CALLER]), 500),
    "httpx call": (client, 500),
    "sqlite3 execute": (statements, 5000),
    "log record": (logs, 5000),
    "thread": (threads, 200),
    "piece of an executor's work": (pool, 1000),
}


def measure(make: Callable[[], tuple[Switch, Work]], number: int) -> tuple[float, float]:
    """us per piece without the boundary, and what it adds: medians over the rounds (of the rounds' differences)."""
    to, work = make()
    bare, added = [], []
    for _ in range(ROUNDS):
        took = []
        for on in (False, True):
            to(on)
            begin = time.process_time_ns()
            work(number)
            took.append((time.process_time_ns() - begin) / 1000 / number)
        bare.append(took[0])
        added.append(took[1] - took[0])
    to(True)
    return statistics.median(bare), statistics.median(added)


def main() -> None:
    _native.start(_native.LEVEL_SPANS, ring_bytes=1 << 24, defs_bytes=1 << 16, roots=[], libraries=[])
    boundaries.install()
    _native.attach(_native.Span("benchmark"))
    print(f"{'us of CPU per piece':30} {'bare':>8} {'added':>8}")
    for name, (make, number) in CASES.items():
        bare, added = measure(make, number)
        print(f"{name:30} {bare:8.2f} {added:8.2f}")


if __name__ == "__main__":
    main()
