"""httpx, both clients: a CLIENT span around each ``send`` (redirects and authentication included).

The context is in the headers only while a request is under way: what the program's hooks, redirects and responses
show of the request is what the program has put there. Headers of its own are left as they are.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

from aftertrace._native import Span, current
from aftertrace.record import propagation
from aftertrace.record.boundaries import contrib
from aftertrace.record.boundaries.calls import (
    CLIENT,
    ERROR,
    Open,
    around,
    around_async,
    close,
    guarded,
    opened,
    patch_all,
)
from aftertrace.record.boundaries.semantics import MOST_URL, authority

NAME = "httpx"
_SCOPE = "aftertrace.httpx"

type Added = tuple[Any, list[tuple[str, str]]]  # the headers, and what we put into them


def _begin(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Open | None:
    request = args[1] if len(args) > 1 else kwargs.get("request")
    if request is None or contrib.suppressed():
        return None
    url, method = request.url, request.method
    host, port = url.host, url.port
    attributes = {
        "http.request.method": method,
        "url.full": f"{url.scheme}://{authority(host, port)}{url.path}"[:MOST_URL],  # no query, no credentials
        "server.address": host,
    }
    if port:
        attributes["server.port"] = port
    return opened(Span(method, CLIENT, propagation.parent(), attributes, None, None, _SCOPE))


def _end(state: Open, response: Any, error: BaseException | None) -> None:
    if error is None:
        guarded(NAME, _answered, state.span, response)
    close(state, None, error)


def _answered(span: Span, response: Any) -> None:
    status = response.status_code
    span.set_attribute("http.response.status_code", status)
    if status >= 400:
        span.set_attribute("error.type", str(status))
        span.set_status(ERROR)


def _inject(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Added | None:
    span, headers = current(), (args[1] if len(args) > 1 else kwargs["request"]).headers
    added = [] if span is None or contrib.suppressed() else propagation.write(span, headers)
    return (headers, added) if added else None


def _take_back(state: Added, _result: Any, _error: BaseException | None) -> None:
    headers, added = state
    for name, value in added:
        if headers.get(name) == value:
            del headers[name]


def install(module: ModuleType) -> None:
    patch_all(
        module,
        {
            "Client.send": around(NAME, _begin, _end),
            "Client._send_single_request": around(NAME, _inject, _take_back),
            "AsyncClient.send": around_async(NAME, _begin, _end),
            "AsyncClient._send_single_request": around_async(NAME, _inject, _take_back),
        },
    )
