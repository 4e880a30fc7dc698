"""Requests into an ASGI application: a SERVER span around each, where the server enters the application.

Patched are uvicorn (whatever framework it serves) and Starlette's applications (for other servers, and in-process
clients); a request that comes through both makes one span. Websockets and lifespan pass through.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import suppress
from types import ModuleType
from typing import Any

from aftertrace._native import Span, attach, current, detach
from aftertrace.record import propagation
from aftertrace.record.boundaries.calls import ERROR, SERVER, error_type, guarded, patch, step_aside, unseen
from aftertrace.record.boundaries.semantics import METHODS, MOST_URL, host

type Scope = MutableMapping[str, Any]
type Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
type Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
type App = Callable[[Scope, Receive, Send], Awaitable[None]]

NAME = "asgi"
_SCOPE = "aftertrace.asgi"

# Of requests under way, by the addresses of their scope and of their headers: an application inside another is passed
# the same scope, or a copy of it.
_under_way: dict[int, Request] = {}


class Request:
    """One request under way: its span, and the status of its response when that has begun. What it holds of the
    program's it holds until it ends."""

    __slots__ = ("baggage", "headers", "method", "outer", "scope", "span", "status", "token")

    def __init__(self, scope: Scope) -> None:
        method, headers = scope["method"], scope["headers"]
        self.method = method if method in METHODS else "HTTP"
        self.status = 0
        self.scope: Any = scope
        self.outer: Any = scope
        self.headers: Any = headers
        parents, states, bags, attributes = _told(scope, headers)
        remote = propagation.read(parents, states) if parents else None
        self.baggage = propagation.enter_baggage(propagation.parse_baggage(bags)) if bags else None
        self.span = Span(self.method, SERVER, remote or propagation.sampler.root(), attributes, None, None, _SCOPE)
        self.token = attach(self.span)
        _under_way[id(scope)] = _under_way[id(headers)] = self

    def end(self, error: BaseException | None) -> None:
        """Names the span after its route, which is known by now, and ends it."""
        span = self.span
        guarded(NAME, self._tell)
        if isinstance(error, Exception):
            span.set_attribute("error.type", error_type(error))
            span.__exit__(type(error), error, None)
        else:
            span.end()
        detach(self.token)
        _under_way.pop(id(self.outer), None)
        _under_way.pop(id(self.headers), None)
        self.scope = self.outer = self.headers = None
        if self.baggage is not None:
            with suppress(ValueError):  # a coroutine that is thrown away ends in another context
                propagation.leave_baggage(self.baggage)

    def _tell(self) -> None:
        span, path, status = self.span, route(self.scope), self.status
        if path:
            span.update_name(f"{self.method} {path}")
            span.set_attribute("http.route", path)
        if status:
            span.set_attribute("http.response.status_code", status)
        if status >= 500:
            span.set_attribute("error.type", str(status))
            span.set_status(ERROR)


def route(scope: Scope) -> str:
    """The template of the path as Starlette and FastAPI leave it in the scope, mounts before it; "": none matched."""
    found = scope.get("route")
    path = getattr(found, "path", None)
    if not isinstance(path, str):
        return ""
    root, above = scope.get("root_path"), scope.get("app_root_path")  # the latter is there below a mount only
    if not isinstance(root, str) or not isinstance(above, str) or not root.startswith(above):
        return path
    parts = root[len(above) :].split("/")
    if not hasattr(found, "endpoint"):  # a mount itself, whose application found no route: it stands in root too
        parts = parts[: len(parts) - path.count("/")]
    params = scope.get("path_params", {}).items()
    values = {str(value): f"{{{name}}}" for name, value in params if type(value) in _PLAIN and f"{{{name}" not in path}
    return "/".join(values.get(part, part) for part in parts) + path


_PLAIN = (str, int, float)


_WANTED = frozenset({b"traceparent", b"tracestate", b"baggage", b"host", b"user-agent"})


def _told(scope: Scope, headers: Any) -> tuple[list[str], list[str], list[str], dict[str, Any]]:
    """All values of traceparent, tracestate and baggage; and the attributes, in stable HTTP semantic conventions.
    The query stays out of them: values in it are not ours to send."""
    get, method = scope.get, scope["method"]
    told = {
        "http.request.method": method if method in METHODS else "_OTHER",
        "url.scheme": get("scheme", "http"),
        "url.path": scope["path"][:MOST_URL],
        "network.protocol.version": get("http_version", ""),
    }
    server, client = get("server"), get("client")
    if server:
        told["server.address"] = server[0]
        if server[1]:
            told["server.port"] = server[1]
    if client:
        told["client.address"] = client[0]
    parents: list[str] = []
    states: list[str] = []
    bags: list[str] = []
    for name, value in headers:
        if name not in _WANTED:
            continue
        text = value.decode("latin-1")
        if name == b"host":
            told["server.address"] = host(text)
        elif name == b"user-agent":
            told["user_agent.original"] = text
        else:
            (parents if name == b"traceparent" else states if name == b"tracestate" else bags).append(text)
    return parents, states, bags, told


def _passes(scope: Scope) -> bool:
    """No HTTP request, or one that is traced already."""
    if scope["type"] != "http":
        return True
    outer = _under_way.get(id(scope)) or _under_way.get(id(scope.get("headers")))
    if outer is None:
        return False
    span = current()
    if span is None or span.trace_id != outer.span.trace_id:
        return False  # another request, to which somebody gave the same list of headers
    outer.scope = scope  # a copy: the route will stand here
    return True


def _noting(request: Request, send: Send) -> Send:
    """The program's send; it gives the program's own awaitable, so that no frame of ours is in what comes of it."""

    def sending(message: MutableMapping[str, Any]) -> Awaitable[None]:
        if type(message) is dict and message.get("type") == "http.response.start":
            status: Any = message.get("status")
            if issubclass(type(status), int):
                request.status = int.__int__(status)  # an IntEnum's number
        return send(message)

    return sending


unseen(_noting)


async def serve(app: App, scope: Scope, receive: Receive, send: Send) -> Any:
    """The application's answer to an HTTP request, in a span. By ASGI it is nothing, but uvicorn looks."""
    request = guarded(NAME, Request, scope)
    try:
        result = await app(  # type: ignore[func-returns-value]
            scope, receive, send if request is None else _noting(request, send)
        )
    except BaseException as error:
        if request is not None:
            guarded(NAME, request.end, error)
        step_aside(error)
        raise
    if request is not None:
        guarded(NAME, request.end, None)
    return result


unseen(serve)


def uvicorn(module: ModuleType) -> None:
    """uvicorn's protocols: the server hands the request over here, in the request's own task."""

    def around(original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def run_asgi(self: Any, app: App) -> Any:
            return original(self, functools.partial(serve, app))

        return inspect.markcoroutinefunction(unseen(run_asgi))

    patch(module, "RequestResponseCycle.run_asgi", around)


def starlette(module: ModuleType) -> None:
    """``starlette.applications``: FastAPI's too."""

    def around(original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def __call__(self: Any, scope: Scope, receive: Receive, send: Send) -> Any:  # noqa: N807  # Starlette's name
            if guarded(NAME, _passes, scope):
                return original(self, scope, receive, send)
            return serve(functools.partial(original, self), scope, receive, send)

        return inspect.markcoroutinefunction(unseen(__call__))

    patch(module, "Starlette.__call__", around)


def fastapi(module: ModuleType) -> None:
    """``fastapi.telemetry``: newer ones make OpenTelemetry spans of their own once there is a provider. Ours, which the
    program did not ask for, does not count as one: the request has its span already."""

    def around(original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def _unconfigured(provider: Any) -> Any:
            return type(provider).__module__ == "aftertrace.record.otel" or original(provider)

        return unseen(_unconfigured)

    patch(module, "_unconfigured", around)
