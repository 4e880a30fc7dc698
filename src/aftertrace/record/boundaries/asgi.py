"""Requests into an ASGI application: a SERVER span around each, where the server enters the application.

Patched are uvicorn (whatever framework it serves) and Starlette's applications (for other servers, and in-process
clients); a request that comes through both makes one span.
"""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, MutableMapping
from contextvars import ContextVar
from types import ModuleType
from typing import Any

from aftertrace._native import Span, attach, detach
from aftertrace.record import propagation
from aftertrace.record.boundaries.calls import ERROR, SERVER, patch
from aftertrace.record.boundaries.state import ledger

type Scope = MutableMapping[str, Any]
type Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
type Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
type App = Callable[[Scope, Receive, Send], Awaitable[None]]

NAME = "asgi"
_METHODS = frozenset({"GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "CONNECT", "TRACE"})
_MOST_URL = 2048
_SCOPE = "aftertrace.asgi"

# The scope whose span is current: an application inside another is passed the same, or a copy of it.
_serving: ContextVar[Request | None] = ContextVar("aftertrace.asgi", default=None)


class Request:
    """One request under way: its span, and the status of its response when that has begun."""

    __slots__ = ("baggage", "method", "path", "serving", "span", "status", "token")

    def __init__(self, scope: Scope) -> None:
        method = str(scope["method"])
        self.method = method if method in _METHODS else "HTTP"
        self.path = str(scope["path"])
        self.status = 0
        parents, states, bags, host, agent = _headers(scope["headers"])
        remote = propagation.read(parents, states)
        self.baggage = propagation.enter_baggage(propagation.parse_baggage(bags)) if bags else None
        attributes = _attributes(scope, self.method if self.method != "HTTP" else "_OTHER", host, agent)
        self.span = Span(self.method, SERVER, remote or propagation.sampler.root(), attributes, None, None, _SCOPE)
        self.token = attach(self.span)
        self.serving = _serving.set(self)

    def end(self, scope: Scope, error: BaseException | None) -> None:
        """Names the span after its route, which is known by now, and ends it."""
        span = self.span
        route = getattr(scope.get("route"), "path", None)
        if isinstance(route, str):
            span.update_name(f"{self.method} {route}")
            span.set_attribute("http.route", route)
        if self.status:
            span.set_attribute("http.response.status_code", self.status)
        if isinstance(error, Exception):
            span.set_attribute("error.type", type(error).__qualname__)
            span.__exit__(type(error), error, None)
        elif self.status >= 500:
            span.set_attribute("error.type", str(self.status))
            span.set_status(ERROR)
        span.end()
        _serving.reset(self.serving)
        detach(self.token)
        propagation.leave_baggage(self.baggage)


def _headers(headers: Any) -> tuple[list[str], list[str], list[str], str, str]:
    """traceparent, tracestate and baggage (all values of each), host, user-agent."""
    parents: list[str] = []
    states: list[str] = []
    bags: list[str] = []
    host = agent = ""
    for name, value in headers:
        if name == b"traceparent":
            parents.append(value.decode("latin-1"))
        elif name == b"tracestate":
            states.append(value.decode("latin-1"))
        elif name == b"baggage":
            bags.append(value.decode("latin-1"))
        elif name == b"host":
            host = value.decode("latin-1")
        elif name == b"user-agent":
            agent = value.decode("latin-1")
    return parents, states, bags, host, agent


def _attributes(scope: Scope, method: str, host: str, agent: str) -> dict[str, Any]:
    """Stable HTTP semantic conventions. The query stays out: values in it are not ours to send as attributes."""
    found: dict[str, Any] = {
        "http.request.method": method,
        "url.scheme": scope.get("scheme", "http"),
        "url.path": str(scope["path"])[:_MOST_URL],
        "network.protocol.version": scope.get("http_version", ""),
    }
    server, client = scope.get("server"), scope.get("client")
    if host:
        found["server.address"] = host.rpartition(":")[0] or host
    if server:
        found.setdefault("server.address", server[0])
        if server[1]:
            found["server.port"] = server[1]
    if client:
        found["client.address"] = client[0]
    if agent:
        found["user_agent.original"] = agent
    return found


def _begin(scope: Scope) -> Request | None:
    """None: no HTTP request, or one that is traced already."""
    if scope["type"] != "http":
        return None
    outer = _serving.get()
    if outer is not None and outer.path == scope.get("path") and not outer.span.ended:
        return None
    try:
        return Request(scope)
    except Exception as error:
        ledger.failed(NAME, error)
        return None


def _end(request: Request, scope: Scope, error: BaseException | None) -> None:
    try:
        request.end(scope, error)
    except Exception as failure:
        ledger.failed(NAME, failure)


async def serve(app: App, scope: Scope, receive: Receive, send: Send) -> None:
    """The application's answer to one request, in a span."""
    request = _begin(scope)
    if request is None:
        await app(scope, receive, send)
        return

    async def sending(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start" and type(message.get("status")) is int:
            request.status = message["status"]
        await send(message)

    try:
        await app(scope, receive, sending)
    except BaseException as error:
        _end(request, scope, error)
        raise
    _end(request, scope, None)


class Traced:
    """An application with spans; everything else about it is the application's own."""

    def __init__(self, app: App) -> None:
        self._aftertrace_app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await serve(self._aftertrace_app, scope, receive, send)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._aftertrace_app, name)


def uvicorn(module: ModuleType) -> None:
    """``uvicorn.config``: what a server serves is known once its configuration has been loaded."""

    def around(load: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(load)
        def wrapper(self: Any, *args: Any, **kwargs: Any) -> Any:
            result = load(self, *args, **kwargs)
            app = getattr(self, "loaded_app", None)
            if app is not None and not isinstance(app, Traced) and getattr(self, "interface", "") != "wsgi":
                self.loaded_app = Traced(app)
            return result

        return wrapper

    patch(module, "Config.load", around)


def starlette(module: ModuleType) -> None:
    """``starlette.applications``: FastAPI's too."""

    def around(call: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(call)
        async def wrapper(self: Any, scope: Scope, receive: Receive, send: Send) -> None:
            await serve(functools.partial(call, self), scope, receive, send)

        return wrapper

    patch(module, "Starlette.__call__", around)
