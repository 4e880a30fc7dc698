"""Requests into an ASGI application: a SERVER span around each, where the server enters the application.

Patched are uvicorn (whatever framework it serves) and Starlette's applications (for other servers, and in-process
clients); a request that comes through both makes one span. Websockets and lifespan pass through.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Callable, MutableMapping
from contextvars import ContextVar
from types import ModuleType
from typing import Any

from aftertrace._native import Span, attach, detach
from aftertrace.record import propagation
from aftertrace.record.boundaries.calls import ERROR, SERVER, error_type, guarded, patch, step_aside, unseen

type Scope = MutableMapping[str, Any]
type Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
type Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
type App = Callable[[Scope, Receive, Send], Awaitable[None]]

NAME = "asgi"
_METHODS = frozenset({"GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "CONNECT", "TRACE", "QUERY"})
_MOST_URL = 2048
_SCOPE = "aftertrace.asgi"

_serving: ContextVar[Request | None] = ContextVar("aftertrace.asgi", default=None)


class Request:
    """One request under way: its span, and the status of its response when that has begun. Tasks that outlive the
    request keep this object: once it has ended it holds nothing of the program's."""

    __slots__ = ("baggage", "headers", "method", "scope", "serving", "span", "status", "token")

    def __init__(self, scope: Scope) -> None:
        method = str(scope["method"])
        self.method = method if method in _METHODS else "HTTP"
        self.status = 0
        self.scope: Scope | None = scope
        self.headers: Any = scope["headers"]
        parents, states, bags, host, agent = _headers(self.headers)
        remote = propagation.read(parents, states) if parents else None
        attributes = _attributes(scope, self.method if self.method != "HTTP" else "_OTHER", host, agent)
        self.span = Span(self.method, SERVER, remote or propagation.sampler.root(), attributes, None, None, _SCOPE)
        self.token = attach(self.span)
        self.baggage = propagation.enter_baggage(propagation.parse_baggage(bags)) if bags else None
        self.serving = _serving.set(self)

    def answers(self, scope: Scope) -> bool:
        """An application inside another is passed the same scope, or a copy of it."""
        return self.scope is not None and (scope is self.scope or scope.get("headers") is self.headers)

    def end(self, error: BaseException | None) -> None:
        """Names the span after its route, which is known by now, and ends it."""
        span, scope = self.span, self.scope
        self.scope = self.headers = None
        guarded(NAME, self._tell, scope)
        if isinstance(error, Exception):
            span.set_attribute("error.type", error_type(error))
            span.__exit__(type(error), error, None)
        else:
            span.end()
        detach(self.token)
        try:
            _serving.reset(self.serving)
            propagation.leave_baggage(self.baggage)
        except ValueError:
            pass  # a coroutine that is thrown away ends in another context, where nothing is to be undone

    def _tell(self, scope: Any) -> None:
        span, path = self.span, route(scope)
        if path:
            span.update_name(f"{self.method} {path}")
            span.set_attribute("http.route", path)
        if self.status:
            span.set_attribute("http.response.status_code", self.status)
        if self.status >= 500:
            span.set_attribute("error.type", str(self.status))
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


def _headers(headers: Any) -> tuple[list[str], list[str], list[str], str, str]:
    """traceparent, tracestate and baggage (all values of each), host, user-agent."""
    parents: list[str] = []
    states: list[str] = []
    bags: list[str] = []
    host = agent = ""
    for name, value in headers:
        if name not in _WANTED:
            continue
        text = value.decode("latin-1")
        if name == b"host":
            host = text
        elif name == b"user-agent":
            agent = text
        elif name == b"traceparent":
            parents.append(text)
        elif name == b"tracestate":
            states.append(text)
        else:
            bags.append(text)
    return parents, states, bags, host, agent


_WANTED = frozenset({b"traceparent", b"tracestate", b"baggage", b"host", b"user-agent"})


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
        name, colon, port = host.rpartition(":")
        found["server.address"] = (name if colon and port.isdecimal() else host).strip("[]")
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
    if scope["type"] != "http" or _traced(scope):
        return None
    return Request(scope)


def _traced(scope: Scope) -> bool:
    outer = _serving.get()
    if outer is None or not outer.answers(scope):
        return False
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
    """The application's answer to one request, in a span. What it gives is nothing, by ASGI; but uvicorn looks."""
    request = guarded(NAME, _begin, scope)
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


def _passes(scope: Scope) -> bool:
    return scope["type"] != "http" or _traced(scope)


def fastapi(module: ModuleType) -> None:
    """``fastapi.telemetry``: newer ones make OpenTelemetry spans of their own once there is a provider. Ours, which the
    program did not ask for, does not count as one: the request has its span already."""

    def around(original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def _unconfigured(provider: Any) -> Any:
            return type(provider).__module__ == "aftertrace.record.otel" or original(provider)

        return unseen(_unconfigured)

    patch(module, "_unconfigured", around)
