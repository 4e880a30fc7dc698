"""Requests into an ASGI application: a SERVER span around each, where the server enters the application.

Patched are uvicorn (whatever framework it serves) and Starlette's applications (for other servers, and in-process
clients); a request that comes through both makes one span. Websockets and lifespan pass through.
"""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Awaitable, Callable, MutableMapping
from types import ModuleType
from typing import Any

from aftertrace._native import AsgiRequest, asgi_passes
from aftertrace.record import propagation  # noqa: F401  # tells the native request how a caller's context is read
from aftertrace.record.boundaries.calls import Missing, guarded, patch, step_aside, unseen
from aftertrace.record.boundaries.state import ledger

type Scope = dict[str, Any]
type Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
type Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
type App = Callable[[Scope, Receive, Send], Awaitable[None]]

NAME = "asgi"

# What FastAPI may find as the global provider though the program has set none up.
_OURS = {("aftertrace.record.otel", "Waiting"), ("aftertrace.record.otel", "TracerProvider")}


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


async def serve(app: App, scope: Scope, receive: Receive, send: Send) -> Any:
    """The application's answer to an HTTP request, in a span. By ASGI it is nothing, but uvicorn looks."""
    request = None
    try:
        request = AsgiRequest(scope, send)  # the program's send, too: it gives the program's own awaitable
    except Exception as error:
        ledger.failed(NAME, error)
    try:
        result = await app(scope, receive, send if request is None else request)  # type: ignore[func-returns-value]
    except BaseException as error:
        if request is not None:
            guarded(NAME, request.end, error, route)
        step_aside(error)
        raise
    if request is not None:
        try:
            request.end(None, route)
        except Exception as error:
            ledger.failed(NAME, error)
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
            if asgi_passes(scope):
                return original(self, scope, receive, send)
            return serve(functools.partial(original, self), scope, receive, send)

        return inspect.markcoroutinefunction(unseen(__call__))

    patch(module, "Starlette.__call__", around)


def fastapi(_module: ModuleType) -> None:
    """``fastapi.telemetry``: newer ones make OpenTelemetry spans of their own once there is a provider. Ours, which the
    program did not ask for, counts as none: the request has its span already. Asked three times a request, so it is
    said once, in FastAPI's own list, and not around its function."""
    api = sys.modules.get("fastapi.telemetry._api")
    deferred = getattr(api, "_DEFERRED_PROVIDERS", None)
    if type(deferred) is not frozenset:
        raise Missing("_DEFERRED_PROVIDERS is not there")
    api._DEFERRED_PROVIDERS = deferred | _OURS  # type: ignore[union-attr]  # noqa: SLF001  # FastAPI has no setter
