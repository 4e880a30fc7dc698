"""One HTTP port: uvicorn, with deadlines for slow clients and answers for half-closed ones."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.auto import AutoHTTPProtocol

GRACE_S = 20  # for requests that are under way when the server is told to end
_KEEP_ALIVE_S = 75  # exporters send every 5 s or 60 s, over one connection
HEADER_S = 20.0
_HEADER_BYTES = 64 << 10
_REST_S = 60.0  # for what comes of a body after its answer
_MOST_CONNECTIONS = 4096


class Protocol(AutoHTTPProtocol):  # type: ignore[misc,valid-type]  # whichever of uvicorn's two is installed
    """A connection; a client's headers have 20 s and 64 KiB, and a request that is followed by an end of the stream
    is answered before the connection is closed."""

    def connection_made(self, transport: asyncio.Transport) -> None:
        super().connection_made(transport)
        self._late: asyncio.TimerHandle | None = None
        self._unasked = 0  # bytes that came while no request was under way
        if len(self.connections) > _MOST_CONNECTIONS:
            self._end(HTTPStatus.SERVICE_UNAVAILABLE, "Retry-After: 1\r\n")
        else:
            self._late = self.loop.call_later(HEADER_S, self._too_late)

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        super().data_received(data)
        if self._under_way():
            self._relax()
            return
        self._unasked += len(data)
        rest = self.cycle is not None and self.cycle.more_body  # of a body whose request was answered before its end
        if self._unasked > _HEADER_BYTES and not rest:
            self._end(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        elif self._late is None and not self.transport.is_closing():
            self._late = self.loop.call_later(_REST_S if rest else HEADER_S, self._too_late)

    def eof_received(self) -> bool:
        """True: it stays open for the answer of a request that has come whole."""
        if self._under_way() and not self.cycle.more_body:
            self.cycle.keep_alive = False
            return True
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._relax()
        super().connection_lost(exc)

    def _under_way(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _relax(self) -> None:
        self._unasked = 0
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _too_late(self) -> None:
        self._late = None
        if not self._under_way():
            self._end(HTTPStatus.REQUEST_TIMEOUT)

    def _end(self, status: HTTPStatus, headers: str = "") -> None:
        if not self.transport.is_closing():
            head = f"HTTP/1.1 {status.value} {status.phrase}\r\n{headers}Connection: close\r\nContent-Length: 0\r\n\r\n"
            self.transport.write(head.encode())
            self.transport.close()


class Port(uvicorn.Server):
    """Serves ``app``. Signals are handled once, for all ports."""

    def __init__(self, app: ASGIApp) -> None:
        protocol: Any = Protocol
        config = uvicorn.Config(
            app,
            http=protocol,
            log_config=None,
            access_log=False,
            server_header=False,
            lifespan="off",
            ws="none",
            timeout_keep_alive=_KEEP_ALIVE_S,
            timeout_graceful_shutdown=GRACE_S,
        )
        super().__init__(config)
        self.up = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.up.set()
