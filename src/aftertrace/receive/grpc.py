"""OTLP/gRPC: the service behind port 4317. OK is said only when the data is durable.

Messages come here as bytes, still packed: gRPC's own decompression would not be counted. A call's message is read
only when there is room for one of the largest size, since a gRPC message does not say before how large it is.
"""

from __future__ import annotations

import asyncio
import functools
import hmac
import logging
from typing import Any

import grpc

from aftertrace.errors import AftertraceError, BadOtlp, Unauthorized, Unavailable
from aftertrace.receive import body, status
from aftertrace.receive.receiver import Payload, Receiver
from aftertrace.receive.signals import SIGNALS, Signal

_LOG = logging.getLogger("aftertrace.receive")
_READERS = 8  # messages that are being received at once, of up to 64 MiB each
_MOST_CALLS = 1024  # that wait for it, in all connections; of each 64 KiB are held
_WAIT_S = 5.0  # for room
_MESSAGE_TIMEOUT_S = 60.0
_GZIP_MAGIC = b"\x1f\x8b"  # no protobuf begins with it
_DETAILS = "grpc-status-details-bin"
_CODES = {code.value[0]: code for code in grpc.StatusCode}

OPTIONS: tuple[tuple[str, int], ...] = (
    ("grpc.so_reuseport", 0),  # a second server on the port is an error, not half of the calls
    ("grpc.max_receive_message_length", body.LIMIT),
    ("grpc.per_message_decompression", 0),
    ("grpc.compression_enabled_algorithms_bitset", 1 << grpc.Compression.NoCompression | 1 << grpc.Compression.Gzip),
    ("grpc.max_concurrent_streams", _MOST_CALLS),  # of one connection
    ("grpc.max_metadata_size", 16 << 10),
    ("grpc.http2.bdp_probe", 0),  # or a call's window, which is memory, would grow with the line
    ("grpc.server_handshake_timeout_ms", 20_000),
    ("grpc.keepalive_time_ms", 60_000),  # a peer that is gone is noticed
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 10_000),  # exporters may ping so often
    ("grpc.max_connection_idle_ms", 900_000),
)

type _Context = grpc.aio.ServicerContext[Any, bytes]


class Service(grpc.GenericRpcHandler):
    """Export of traces, logs and metrics. ``token`` is asked for unless it is empty, as on HTTP (D15); a web page
    cannot speak gRPC, so no name of this machine is asked for where there is none."""

    def __init__(self, receiver: Receiver, token: str) -> None:
        self._receiver = receiver
        self._expected = f"Bearer {token}".encode() if token else b""
        self._readers = asyncio.Semaphore(_READERS)
        self._calls = 0
        self._signals = {one.method: one for one in SIGNALS}

    def service(self, handler_call_details: Any) -> Any:
        """gRPC asks for the handler of each call."""
        signal = self._signals.get(handler_call_details.method)
        if signal is None:
            return None
        # As a stream of one, so that the handler decides when the message is read.
        return grpc.stream_unary_rpc_method_handler(functools.partial(self._export, signal))

    async def _export(self, signal: Signal, _: Any, context: _Context) -> bytes:
        self._calls += 1
        try:
            self._check(context)
            return await self._take(signal, context)
        except AftertraceError as error:
            problem = error.http_status, status.sentence(error)
        except Exception as error:  # ours: the sender is not told more than that
            _LOG.error("a call failed: %s: %s", type(error).__name__, error)
            problem = 500, "The server failed; its log says why."
        finally:
            self._calls -= 1
        await _abort(context, *problem)
        raise AssertionError  # abort() has raised

    def _check(self, context: _Context) -> None:
        """Raises Unauthorized, Unavailable."""
        said = dict(context.invocation_metadata() or ())
        given = said.get("authorization", "")
        if self._expected and not hmac.compare_digest(str(given).encode(), self._expected):
            hint = "Set the header authorization to Bearer TOKEN (OTEL_EXPORTER_OTLP_HEADERS)."
            raise Unauthorized("bad-token", "The token is missing or wrong.", hint)
        if self._calls > _MOST_CALLS:
            raise _busy()

    async def _take(self, signal: Signal, context: _Context) -> bytes:
        message = await self._read(context)
        encoding = "gzip" if message.startswith(_GZIP_MAGIC) else ""
        with self._receiver.budget.holding(len(message)):
            outcome = await self._receiver.take(signal, Payload(message, encoding))
        return outcome.protobuf()

    async def _read(self, context: _Context) -> bytes:
        """The call's message. Raises Unavailable, TooLarge (said by gRPC itself before), BadOtlp."""
        try:
            await asyncio.wait_for(self._readers.acquire(), _WAIT_S)
        except TimeoutError:
            raise _busy() from None
        try:
            async with asyncio.timeout(_MESSAGE_TIMEOUT_S):
                message = await context.read()
        except TimeoutError:
            await context.abort(grpc.StatusCode.DEADLINE_EXCEEDED, "The message did not arrive in time.")
        finally:
            self._readers.release()
        if not isinstance(message, bytes):  # grpc.aio.EOF
            raise BadOtlp("no-message", "The call has no message.", "")
        return message


def _busy() -> Unavailable:
    return Unavailable("receiver-busy", "The receiver has as many calls as it can serve.", "Send again in a moment.")


async def _abort(context: _Context, http_status: int, message: str) -> None:
    details = ((_DETAILS, status.encode(http_status, message)),)
    await context.abort(_CODES[status.code(http_status)], message, details)


def server(receiver: Receiver, token: str) -> grpc.aio.Server:
    """To be given a port, then started."""
    made = grpc.aio.server(options=OPTIONS)
    made.add_generic_rpc_handlers((Service(receiver, token),))
    return made
