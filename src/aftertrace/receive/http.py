"""OTLP/HTTP: the Starlette app behind port 4318. 200 is said only when the data is durable."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Protocol

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsPartialSuccess, ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsPartialSuccess,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceResponse,
)
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from aftertrace.errors import AftertraceError, Unavailable, UnsupportedMedia
from aftertrace.model import LogRecord, Span
from aftertrace.receive import body, otlp
from aftertrace.receive.fleet import Fleet
from aftertrace.receive.status import JSON, PROTOBUF, failure
from aftertrace.wire.fleet import PATH

_LOG = logging.getLogger("aftertrace.receive")
_IN_FLIGHT = 256 << 20  # bytes of bodies held at once; beyond it senders are asked to come again
_BODY_TIMEOUT_S = 60


class Sink(Protocol):
    """Where received data goes (the store). The futures are done when it is durable."""

    def submit_spans(self, spans: list[Span]) -> Future[None]: ...

    def submit_logs(self, logs: list[LogRecord]) -> Future[list[str]]:
        """The future gives a sentence for each record that was refused."""


class Receiver:
    """Takes OTLP requests and answers each in its own kind."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._held = 0
        self._decoders = ThreadPoolExecutor(2, "otlp-decode")

    def close(self) -> None:
        self._decoders.shutdown()

    async def traces(self, request: Request) -> Response:
        async with _Body(self, request) as data:
            received, stored = await self._decode(lambda: self._store_spans(data))
            await asyncio.wrap_future(stored)
        answer = ExportTraceServiceResponse()
        if received.problems:
            why = ExportTracePartialSuccess(
                rejected_spans=received.rejected, error_message=_sentence(received.problems)
            )
            answer.partial_success.CopyFrom(why)
        return Response(answer.SerializeToString(), media_type=PROTOBUF)

    async def logs(self, request: Request) -> Response:
        async with _Body(self, request) as data:
            received, stored = await self._decode(lambda: self._store_logs(data))
            for refused in await asyncio.wrap_future(stored):
                received.reject(refused)
        answer = ExportLogsServiceResponse()
        if received.problems:
            message = _sentence(received.problems)
            why = ExportLogsPartialSuccess(rejected_log_records=received.rejected, error_message=message)
            answer.partial_success.CopyFrom(why)
        return Response(answer.SerializeToString(), media_type=PROTOBUF)

    async def metrics(self, request: Request) -> Response:
        """Read, counted and dropped: metrics are not used (yet), and senders are told so."""
        async with _Body(self, request) as data:
            points = await self._decode(lambda: otlp.count_data_points(data.unpacked()))
        answer = ExportMetricsServiceResponse()
        if points:
            message = "aftertrace does not store metrics: they were dropped"
            why = ExportMetricsPartialSuccess(rejected_data_points=points, error_message=message)
            answer.partial_success.CopyFrom(why)
        return Response(answer.SerializeToString(), media_type=PROTOBUF)

    def _store_spans(self, data: _Data) -> tuple[otlp.Received[Span], Future[None]]:
        received = otlp.traces(data.unpacked())
        return received, self._sink.submit_spans(received.items)

    def _store_logs(self, data: _Data) -> tuple[otlp.Received[LogRecord], Future[list[str]]]:
        received = otlp.logs(data.unpacked())
        return received, self._sink.submit_logs(received.items)

    async def _decode[Out](self, work: Callable[[], Out]) -> Out:
        return await asyncio.get_running_loop().run_in_executor(self._decoders, work)

    def hold(self, size: int) -> None:
        """Counts bytes as held. Raises Unavailable when they are too many."""
        if self._held + size > _IN_FLIGHT:
            raise Unavailable("receiver-busy", "The receiver holds as much as it can.", "Send again in a moment.")
        self._held += size

    def release(self, size: int) -> None:
        self._held -= size


class _Data:
    """A body as it came, and how it was packed."""

    def __init__(self, packed: bytes, encoding: str) -> None:
        self._packed = packed
        self._encoding = encoding

    def unpacked(self) -> bytes:
        return body.unpack(self._packed, self._encoding)


class _Body:
    """One request's body, counted against what the receiver may hold for as long as it is worked on."""

    def __init__(self, receiver: Receiver, request: Request) -> None:
        self._receiver = receiver
        self._request = request
        self._size = 0

    async def __aenter__(self) -> _Data:
        media_type = _media_type(self._request)
        if media_type != PROTOBUF:
            raise UnsupportedMedia(
                "bad-content-type", f"Content-Type {media_type!r} is not taken.", f"Send {PROTOBUF}."
            )
        try:
            async with asyncio.timeout(_BODY_TIMEOUT_S):
                packed = await body.read(self._counted())
        except TimeoutError:
            self._receiver.release(self._size)
            raise HTTPException(408, "The body did not arrive in time.") from None
        except BaseException:
            self._receiver.release(self._size)
            raise
        return _Data(packed, self._request.headers.get("content-encoding", ""))

    async def __aexit__(self, *_: object) -> None:
        self._receiver.release(self._size)

    async def _counted(self) -> AsyncIterator[bytes]:
        async for chunk in self._request.stream():
            if self._size <= body.LIMIT:  # what comes after that is thrown away
                self._receiver.hold(len(chunk))
                self._size += len(chunk)
            yield chunk


def _media_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def _sentence(problems: list[str]) -> str:
    return "; ".join(problems)


def _kind(request: Request) -> str:
    return JSON if _media_type(request) == JSON else PROTOBUF


async def _failed(request: Request, error: Exception) -> Response:
    if isinstance(error, AftertraceError):
        return failure(error.http_status, f"{error.message} {error.hint}".strip(), _kind(request))
    if isinstance(error, HTTPException):
        return failure(error.status_code, error.detail, _kind(request))
    if isinstance(error, ClientDisconnect):
        return failure(400, "The sender went away.", _kind(request))
    _LOG.error("a request failed: %s: %s", type(error).__name__, error)
    return failure(500, "The server failed; its log says why.", _kind(request))


def app(receiver: Receiver, fleet: Fleet | None = None) -> Starlette:
    """POST /v1/traces, /v1/logs, /v1/metrics; with ``fleet`` what agents tell each other."""
    handlers: dict[Any, Any] = dict.fromkeys((AftertraceError, HTTPException, ClientDisconnect, Exception), _failed)
    routes = [
        Route("/v1/traces", receiver.traces, methods=["POST"]),
        Route("/v1/logs", receiver.logs, methods=["POST"]),
        Route("/v1/metrics", receiver.metrics, methods=["POST"]),
    ]
    if fleet is not None:
        routes.append(Route(PATH, fleet.handle, methods=["POST"]))
    return Starlette(routes=routes, exception_handlers=handlers)
