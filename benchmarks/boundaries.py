"""What the boundaries add: microseconds per request, call, statement, log record, thread and piece of work.

Each case is timed with and without the boundary, in turns, in one process that records spans; the medians are told.

    python benchmarks/boundaries.py
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import io
import logging
import socket
import sqlite3
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator
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


def wsgi(app: Any, *targets: tuple[Any, str]) -> tuple[Switch, Work]:
    """Requests as a server makes them; without targets the server's own entry is switched."""
    from aftertrace.record.boundaries.wsgi import serve

    environ = {
        "REQUEST_METHOD": "GET",
        "SCRIPT_NAME": "",
        "PATH_INFO": "/hello/you",
        "QUERY_STRING": "",
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "8000",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "HTTP_HOST": "127.0.0.1:8000",
        "HTTP_USER_AGENT": "python-requests/2.32",
        "HTTP_ACCEPT": "*/*",
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(),
        "wsgi.errors": sys.stderr,
    }
    entries = [app, functools.partial(serve, app)]
    chosen = [0]

    def start_response(_status: str, _headers: Any, _error: Any = None) -> Any: ...

    def work(number: int) -> None:
        entry = app if targets else entries[chosen[0]]
        with pause():
            for _ in range(number):
                body = entry(environ.copy(), start_response)
                for _chunk in body:
                    pass
                if hasattr(body, "close"):
                    body.close()

    return switch(*targets) if targets else lambda on: chosen.__setitem__(0, int(on)), work


@contextlib.contextmanager
def pause() -> Iterator[None]:
    """Out of the benchmark's span, as a server's thread is."""
    token = _native.attach(None)
    yield
    _native.detach(token)


def plain(_environ: Any, start_response: Any) -> Any:
    start_response("200 OK", [("content-type", "text/plain")])
    return [b"hello"]


def parts(_environ: Any, start_response: Any) -> Any:
    start_response("200 OK", [("content-type", "text/plain")])
    yield b"hello"


def flask_request() -> tuple[Switch, Work]:
    import flask
    from werkzeug.routing.map import MapAdapter

    app = flask.Flask("benchmark")
    app.add_url_rule("/hello/<name>", "hello", lambda name: name)
    return wsgi(app, (flask.Flask, "__call__"), (MapAdapter, "match"))


def django_request() -> tuple[Switch, Work]:
    import django
    from django.conf import settings
    from django.core.handlers.base import BaseHandler
    from django.core.handlers.wsgi import WSGIHandler
    from django.http import HttpResponse
    from django.urls import path

    hello = path("hello/<name>", lambda _request, name: HttpResponse(name))
    urls = type("urls", (), {"urlpatterns": [hello]})
    settings.configure(ROOT_URLCONF=urls, ALLOWED_HOSTS=["*"], SECRET_KEY="s")
    django.setup()
    return wsgi(WSGIHandler(), (WSGIHandler, "__call__"), (BaseHandler, "resolve_request"))


def pooled(through_requests: bool) -> tuple[Switch, Work]:
    """One connection that answers at once."""
    import requests
    import urllib3
    from requests import Session

    class Connection(urllib3.connection.HTTPConnection):
        def connect(self) -> None:
            self.sock = Socket()

    class Socket:
        def makefile(self, *_: Any, **__: Any) -> io.BytesIO:
            return io.BytesIO(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")

        def sendall(self, _data: bytes) -> None: ...
        def fileno(self) -> int:
            return silent.fileno()

        def settimeout(self, _seconds: float) -> None: ...
        def close(self) -> None: ...

    silent, _ = ends = socket.socketpair()  # never readable: the connection looks open
    pool_type = urllib3.HTTPConnectionPool
    pool = pool_type("127.0.0.1", 8000)
    pool.ConnectionCls = Connection
    session = requests.Session()
    session.trust_env = False
    session.get_adapter("http://x").get_connection_with_tls_context = lambda *_, **__: pool  # type: ignore[attr-defined]

    def calls(number: int, _: Any = ends) -> None:
        for _ in range(number):
            if through_requests:
                session.get("http://127.0.0.1:8000/hello?x=1")
            else:
                pool.request("GET", "/hello?x=1", headers={"a": "b"})

    sending = [(Session, "send")] if through_requests else []
    return switch(*sending, (pool_type, "urlopen"), (pool_type, "_make_request")), calls


def celery(sending: bool) -> tuple[Switch, Work]:
    from celery import Celery
    from celery.app import trace

    app = Celery("benchmark", broker="memory://", backend="cache+memory://")
    app.conf.task_ignore_result = True

    @app.task(name=f"work.{sending}")  # type: ignore[untyped-decorator]
    def task(n: int) -> int:
        return n

    app.finalize()
    tracer = trace.build_tracer(task.name, app.tasks[task.name], app=app)
    chosen: list[Any] = [tracer]

    def to(on: bool) -> None:
        if sending:
            wrapper = vars(app.amqp)["send_task_message"]
            whole = wrappers.setdefault("send", wrapper)
            vars(app.amqp)["send_task_message"] = whole if on else whole.__wrapped__
        chosen[0] = tracer if on else tracer.__wrapped__

    wrappers: dict[str, Any] = {}

    def work(number: int) -> None:
        for _ in range(number):
            if sending:
                task.delay(1)
            else:
                chosen[0]("id", (1,), {}, {"delivery_info": {"routing_key": "celery"}, "ignore_result": True})
        if sending:
            app.control.purge()

    assert app.amqp.send_task_message
    return to, work


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
    "WSGI request, a list": (lambda: wsgi(plain), 1000),
    "WSGI request, a generator": (lambda: wsgi(parts), 1000),
    "Flask request": (flask_request, 300),
    "Django request": (django_request, 300),
    "httpx call": (client, 500),
    "urllib3 call": (lambda: pooled(False), 500),
    "requests call": (lambda: pooled(True), 200),
    "Celery message sent": (lambda: celery(True), 100),
    "Celery task run": (lambda: celery(False), 1000),
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
    """Words: parts of the cases' names; none: all cases."""
    wanted = sys.argv[1:]
    _native.start(_native.LEVEL_SPANS, ring_bytes=1 << 24, defs_bytes=1 << 16, roots=[], libraries=[])
    boundaries.install()
    _native.attach(_native.Span("benchmark"))
    print(f"{'us of CPU per piece':30} {'bare':>8} {'added':>8}")
    for name, (make, number) in CASES.items():
        if wanted and not any(word in name for word in wanted):
            continue
        bare, added = measure(make, number)
        print(f"{name:30} {bare:8.2f} {added:8.2f}")


if __name__ == "__main__":
    main()
