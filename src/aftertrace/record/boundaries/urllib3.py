"""urllib3, and requests on it: a CLIENT span around each request on the wire, as the semantic conventions want it: what
is sent again for the same call (retries, redirects, authentication) has a span of its own, with its number.

A span ends with the response's headers or, where requests reads the whole response itself, with its body. The context
goes out in a copy of the headers: what the program holds of them stays as it is, and headers of its own win. Adapters
of requests that do not go through urllib3 make no spans.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar, Token
from types import ModuleType
from typing import Any, NamedTuple

from aftertrace._native import Span, detach
from aftertrace.record import propagation
from aftertrace.record.boundaries import contrib
from aftertrace.record.boundaries.calls import (
    CLIENT,
    ERROR,
    Open,
    around,
    error_type,
    guarded,
    opened,
    patch,
    patch_all,
)
from aftertrace.record.boundaries.semantics import METHODS, MOST_URL, authority

NAME = "urllib3"
_SCOPE = "aftertrace.urllib3"
_HEADERS = (propagation.TRACEPARENT, propagation.TRACESTATE, propagation.BAGGAGE)
_PORTS = {"http": 80, "https": 443}
_VERSIONS = {10: "1.0", 11: "1.1", 20: "2"}


class Call:
    """What the program asked for, for which several requests may be sent."""

    __slots__ = ("busy", "owner", "sent", "span", "whole")

    def __init__(self, owner: Any, whole: bool) -> None:
        self.owner, self.whole = owner, whole  # whole: it ends with the response's body
        self.sent = 0
        self.busy = False  # a request is being sent: what is called meanwhile is another call
        self.span: Span | None = None  # of the last request, whose body is still to come

    def finish(self, error: BaseException | None = None) -> None:
        span, self.span = self.span, None
        if span is not None:
            _end(span, error)


def _end(span: Span, error: BaseException | None) -> None:
    if isinstance(error, Exception):
        span.set_attribute("error.type", error_type(error))
        span.__exit__(type(error), error, None)
    else:
        span.end()


_current: ContextVar[Call | None] = ContextVar("aftertrace.urllib3", default=None)


# -- the program's call


def _enter(owner: Any, whole: bool) -> tuple[Call, Token[Call | None]]:
    call = Call(owner, whole)
    return call, _current.set(call)


def _leave(state: tuple[Call, Token[Call | None]], _result: Any, error: BaseException | None) -> None:
    call, token = state
    _current.reset(token)
    call.finish(error)


def _owned(args: tuple[Any, ...], _kwargs: dict[str, Any]) -> tuple[Call, Token[Call | None]] | None:
    """A pool manager; it calls itself to follow a redirect."""
    outer = _current.get()
    return None if outer is not None and outer.owner is args[0] and not outer.busy else _enter(args[0], False)


def _pooled(args: tuple[Any, ...], _kwargs: dict[str, Any]) -> tuple[Call, Token[Call | None]] | None:
    """A connection pool: on its own, or for one of the others; it calls itself to send again."""
    outer = _current.get()
    return None if outer is not None and not outer.busy else _enter(args[0], False)


def _session(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Call, Token[Call | None]] | None:
    outer = _current.get()
    if outer is not None and outer.owner is args[0] and not outer.busy:
        return None
    stream = kwargs.get("stream", vars(args[0]).get("stream"))
    return _enter(args[0], not stream)


# -- one request


class Sent(NamedTuple):
    open: Open
    call: Call | None


def _send(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Sent | None:
    """args: pool, connection, method, target; the headers are among the keywords."""
    if len(args) < 4 or contrib.suppressed(http=True):
        return None
    call = _current.get()
    if call is not None:
        if call.busy:
            call = None
        else:
            call.finish()
    attributes = _told(args[0], args[2], args[3])
    if call is not None and call.sent:
        attributes["http.request.resend_count"] = call.sent
    name = "HTTP" if attributes["http.request.method"] == "_OTHER" else args[2]
    span = Span(name, CLIENT, propagation.parent(), attributes, None, None, _SCOPE)
    guarded(NAME, _inject, span, kwargs)
    if call is not None:
        call.sent += 1
        call.busy = True
    return Sent(opened(span), call)


def _inject(span: Span, kwargs: dict[str, Any]) -> None:
    headers: Mapping[str, Any] | None = kwargs.get("headers")
    names = {name.lower() for name in headers or () if type(name) is str}
    carrier = {name: "" for name in _HEADERS if name in names}
    added = propagation.write(span, carrier)
    if added:
        copied: Any = {} if headers is None else headers.copy()  # type: ignore[attr-defined]  # all that are used have it
        copied.update(added)
        kwargs["headers"] = copied


def _told(pool: Any, method: Any, target: str) -> dict[str, Any]:
    """The attributes, in stable HTTP semantic conventions: no query, no credentials."""
    scheme, name, port, path = pool.scheme, pool.host, pool.port, target
    if not target.startswith("/"):  # through a proxy: the whole URL
        scheme, _, rest = target.partition("://")
        where, slash, path = rest.partition("/")
        name, _, written = where.rpartition("@")[2].rpartition(":")
        if not written.isdecimal():
            name, written = where.rpartition("@")[2], ""
        name, port, path = name.strip("[]"), int(written) if written else None, slash + path
    path = path.partition("?")[0].partition("#")[0]
    usual = _PORTS.get(scheme)
    told = {
        "http.request.method": method if method in METHODS else "_OTHER",
        "url.full": f"{scheme}://{authority(name, None if port == usual else port)}{path}"[:MOST_URL],
        "server.address": name,
    }
    if port or usual:
        told["server.port"] = port or usual
    if method not in METHODS:
        told["http.request.method_original"] = method
    return told


def _received(state: Sent, response: Any, error: BaseException | None) -> None:
    entered, call = state
    span = entered.span
    if error is None:
        guarded(NAME, _answered, span, response)
    if call is not None:
        call.busy = False
    if error is None and call is not None and call.whole:
        call.span = span
    else:
        _end(span, error)
    detach(entered.token)


def _answered(span: Span, response: Any) -> None:
    status, version = response.status, _VERSIONS.get(response.version)
    span.set_attribute("http.response.status_code", status)
    if version:
        span.set_attribute("network.protocol.version", version)
    if status >= 400:
        span.set_attribute("error.type", str(status))
        span.set_status(ERROR)


def pools(module: ModuleType) -> None:
    """``urllib3.connectionpool``."""
    patch_all(
        module,
        {
            "HTTPConnectionPool.urlopen": around(NAME, _pooled, _leave),
            "HTTPConnectionPool._make_request": around(NAME, _send, _received),
        },
    )


def managers(module: ModuleType) -> None:
    """``urllib3.poolmanager``."""
    patch(module, "PoolManager.urlopen", around(NAME, _owned, _leave))


def requests(module: ModuleType) -> None:
    """``requests.sessions``."""
    patch(module, "Session.send", around("requests", _session, _leave))
