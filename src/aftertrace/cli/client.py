"""The command line's side of the HTTP API, over urllib: no client library is needed on the light install."""

from __future__ import annotations

import json
import urllib.error
import urllib.parse
import urllib.request
from http.client import HTTPException
from typing import Any

from aftertrace.errors import (
    AftertraceError,
    Ambiguous,
    BadRecording,
    NotFound,
    NotInstalled,
    StoreError,
    Unauthorized,
    Unavailable,
    UsageError,
)
from aftertrace.settings import Settings, from_environment
from aftertrace.wire import bundle as bundles
from aftertrace.wire.bundle import TraceData

_TIMEOUT_S = 120
_KINDS = (UsageError, NotFound, Ambiguous, BadRecording, Unauthorized, Unavailable, NotInstalled, StoreError)
_BY_STATUS: dict[int, type[AftertraceError]] = {kind.http_status: kind for kind in _KINDS}


def ask(question: str, *, settings: Settings | None = None, **parameters: str | int | bool) -> dict[str, Any]:
    """The answer's JSON. Raises what the server raised, or Unavailable when there is none."""
    words = {name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in parameters.items()}
    answer = json.loads(
        _get(f"/api/v1/{urllib.parse.quote(question, safe='')}?{urllib.parse.urlencode(words)}", settings)
    )
    if not isinstance(answer, dict):
        raise _stranger((settings or from_environment()).server)
    return answer


def bundle(reference: str, *, settings: Settings | None = None) -> TraceData:
    """Everything about one trace; ``reference`` is a trace id, a prefix of one, a span id, or ``last``."""
    return bundles.load(_get(f"/api/v1/bundle/{urllib.parse.quote(reference, safe='')}", settings))


def send(
    method: str, path: str, body: dict[str, Any] | None = None, *, settings: Settings | None = None
) -> dict[str, Any]:
    """An order, and its answer's JSON. Raises what the server raised, or Unavailable when there is none."""
    answer = json.loads(_get(path, settings, method, None if body is None else json.dumps(body).encode()))
    if not isinstance(answer, dict):
        raise _stranger((settings or from_environment()).server)
    return answer


def quoted(text: str) -> str:
    """As a part of a path."""
    return urllib.parse.quote(text, safe="")


def _get(path: str, settings: Settings | None, method: str = "GET", body: bytes | None = None) -> bytes:
    settings = settings or from_environment()
    request = urllib.request.Request(settings.server + path, body, method=method)  # noqa: S310  # checked below
    if body is not None:
        request.add_header("Content-Type", "application/json")
    if request.type not in {"http", "https"}:
        raise UsageError(
            "bad-server", f"{settings.server!r} is no http address.", "AFTERTRACE_SERVER names the server."
        )
    if settings.token:
        request.add_header("Authorization", f"Bearer {settings.token}")
    try:
        with _opener(request).open(request, timeout=_TIMEOUT_S) as response:
            answer: bytes = response.read()
            return answer
    except urllib.error.HTTPError as error:
        with error:
            raise _told(settings.server, error.code, error.read()) from None
    except (OSError, HTTPException) as error:
        raise _absent(settings.server, error) from None


def _opener(request: urllib.request.Request) -> urllib.request.OpenerDirector:
    """A proxy is never asked for this machine."""
    host = urllib.parse.urlsplit(request.full_url).hostname or ""
    own = host in {"localhost", "::1"} or host.startswith("127.")
    return urllib.request.build_opener(*([urllib.request.ProxyHandler({})] if own else []))


def _absent(server: str, error: Exception) -> Unavailable:
    reason = getattr(error, "reason", error)
    if isinstance(reason, ConnectionRefusedError):
        return Unavailable("no-server", f"There is no server at {server}.", "Start one: aftertrace up")
    said = getattr(reason, "strerror", None) or str(reason) or type(reason).__name__
    return Unavailable(
        "no-server", f"The server at {server} did not answer: {said}.", "AFTERTRACE_SERVER says where it is."
    )


def _told(server: str, status: int, body: bytes) -> AftertraceError:
    try:
        told = json.loads(body)["error"]
        return _BY_STATUS.get(status, AftertraceError)(str(told["slug"]), str(told["message"]), str(told["hint"]))
    except (ValueError, KeyError, TypeError):
        return _stranger(server)


def _stranger(server: str) -> Unavailable:
    hint = "AFTERTRACE_SERVER says where it is; its usual port is 7070."
    return Unavailable("not-aftertrace", f"{server} answers, but it is no aftertrace server.", hint)
