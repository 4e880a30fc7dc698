"""OTLP/HTTP: the Starlette app behind port 4318. 200 is said only when the data is durable."""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import AsyncIterator
from typing import Any

from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from aftertrace.errors import AftertraceError, UnsupportedMedia
from aftertrace.receive import body
from aftertrace.receive.fleet import Fleet
from aftertrace.receive.receiver import Payload, Receiver
from aftertrace.receive.signals import SIGNALS, Signal
from aftertrace.receive.status import JSON, PROTOBUF, failure, sentence
from aftertrace.wire.fleet import PATH

_LOG = logging.getLogger("aftertrace.receive")
_BODY_TIMEOUT_S = 60
_KINDS = f"Send {PROTOBUF} or {JSON}."
_GZIP_FROM = 128  # bytes of an answer


async def _export(receiver: Receiver, signal: Signal, request: Request) -> Response:
    kind = media_type(request.headers)
    if kind not in {JSON, PROTOBUF}:
        raise UnsupportedMedia(
            "bad-content-type", f"Content-Type {kind!r} is not taken.", f"Send {PROTOBUF} or {JSON}."
        )
    async with _Body(receiver, request) as packed:
        payload = Payload(packed, request.headers.get("content-encoding", ""), kind == JSON)
        outcome = await receiver.take(signal, payload)
    return Response(outcome.json(signal) if kind == JSON else outcome.protobuf(), media_type=kind)


class _Body:
    """One request's body, counted against what the receiver may hold for as long as it is worked on."""

    def __init__(self, receiver: Receiver, request: Request) -> None:
        self._budget = receiver.budget
        self._request = request
        self._size = 0

    async def __aenter__(self) -> bytes:
        try:
            async with asyncio.timeout(_BODY_TIMEOUT_S):
                return await body.read(self._counted())
        except TimeoutError:
            self._budget.release(self._size)
            raise HTTPException(408, "The body did not arrive in time.") from None
        except BaseException:
            self._budget.release(self._size)
            raise

    async def __aexit__(self, *_: object) -> None:
        self._budget.release(self._size)

    async def _counted(self) -> AsyncIterator[bytes]:
        async for chunk in self._request.stream():
            if self._size <= body.LIMIT:  # what comes after that is thrown away
                self._budget.hold(len(chunk))
                self._size += len(chunk)
            yield chunk


def media_type(headers: Headers) -> str:
    """The Content-Type without its parameters."""
    return headers.get("content-type", "").partition(";")[0].strip().lower()


def refuse(error: AftertraceError, headers: Headers) -> Response:
    """The answer to a request that an error of the tree ended, in the request's own kind."""
    more = {"Accept-Encoding": ", ".join(body.ENCODINGS)} if error.slug == "bad-encoding" else {}
    return failure(error.http_status, sentence(error), media_type(headers), more)


async def _failed(request: Request, error: Exception) -> Response:
    kind = media_type(request.headers)
    if isinstance(error, AftertraceError):
        return refuse(error, request.headers)
    if isinstance(error, HTTPException):
        return failure(error.status_code, error.detail, kind, error.headers)
    if isinstance(error, ClientDisconnect):
        return failure(400, "The sender went away.", kind)
    _LOG.error("a request failed: %s: %s", type(error).__name__, error)
    return failure(500, "The server failed; its log says why.", kind)


def app(receiver: Receiver, fleet: Fleet | None = None) -> Starlette:
    """POST /v1/traces, /v1/logs, /v1/metrics; with ``fleet`` what agents tell each other."""
    handlers: dict[Any, Any] = dict.fromkeys((AftertraceError, HTTPException, ClientDisconnect, Exception), _failed)
    routes = [Route(one.path, functools.partial(_export, receiver, one), methods=["POST"]) for one in SIGNALS]
    if fleet is not None:
        routes.append(Route(PATH, fleet.handle, methods=["POST"]))
    middleware = [Middleware(GZipMiddleware, minimum_size=_GZIP_FROM)]
    made = Starlette(routes=routes, exception_handlers=handlers, middleware=middleware)
    made.router.redirect_slashes = False  # exporters do not follow
    return made
