"""httpx, both clients: a CLIENT span around each ``send`` (redirects included), the context in the headers."""

from __future__ import annotations

from types import ModuleType
from typing import Any

from aftertrace._native import Span
from aftertrace.record.boundaries.calls import CLIENT, ERROR, Call, Told, patch_calls

NAME = "httpx"
_MOST_URL = 2048


def _describe(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Told | None:
    request = args[1] if len(args) > 1 else kwargs.get("request")
    if request is None:
        return None
    url, method = request.url, request.method
    attributes = {
        "http.request.method": method,
        "url.full": f"{url.scheme}://{url.netloc.decode('ascii', 'replace')}{url.path}"[:_MOST_URL],  # no query
        "server.address": url.host,
    }
    if url.port:
        attributes["server.port"] = url.port
    return Told(method, attributes, request.headers)


def _answer(span: Span, response: Any) -> None:
    status = response.status_code
    span.set_attribute("http.response.status_code", status)
    if status >= 400:
        span.set_attribute("error.type", str(status))
        span.set_status(ERROR)


_CALLS = (
    Call(NAME, "Client.send", CLIENT, _describe, _answer),
    Call(NAME, "AsyncClient.send", CLIENT, _describe, _answer, is_async=True),
)


def install(module: ModuleType) -> None:
    patch_calls(module, _CALLS)
