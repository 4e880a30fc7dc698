"""The thread that sends: OTLP/HTTP over one kept connection, with pauses that grow while the server is away.

OpenTelemetry specification, OTLP/HTTP: 408, 429 and 5xx are tried again, after Retry-After where it is given; other 4xx
never. No proxy is asked: recordings go to the named server only.
"""

from __future__ import annotations

import http.client
import random
import socket
import ssl
import threading
import time
import urllib.parse
from contextlib import suppress
from dataclasses import dataclass

from aftertrace.agent.outbox import Outbox, Request
from aftertrace.agent.tell import Counts, Teller
from aftertrace.errors import UsageError
from aftertrace.wire import otlp

_TIMEOUT_S = 30.0
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.25, 15.0
_ANSWER = 1 << 20  # bytes of an answer that are read


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where requests go."""

    secure: bool
    host: str
    port: int
    prefix: str


def endpoint(url: str) -> Endpoint:
    """Raises UsageError."""
    try:
        parts = urllib.parse.urlsplit(url)
        port = parts.port
    except ValueError:
        parts, port = urllib.parse.urlsplit(""), None
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise UsageError("bad-endpoint", f"{url!r} is no http address.", "AFTERTRACE_ENDPOINT names the server.")
    secure = parts.scheme == "https"
    return Endpoint(secure, parts.hostname, port or (443 if secure else 80), parts.path.rstrip("/"))


class Shipper:
    """Empties the outbox."""

    def __init__(self, where: Endpoint, token: str, outbox: Outbox, counts: Counts, teller: Teller) -> None:
        self._where = where
        self._headers = {"Content-Type": "application/x-protobuf", "User-Agent": "aftertrace-agent"}
        if token:
            self._headers["Authorization"] = f"Bearer {token}"
        self._outbox = outbox
        self._counts = counts
        self._teller = teller
        self._connection: http.client.HTTPConnection | None = None
        self._stop = threading.Event()
        self._until = 0.0  # monotonic: no tries after it, once stopped
        self._thread = threading.Thread(target=self._run, name="aftertrace-ship", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self, patience: float) -> None:
        """Sends what waits in memory for ``patience`` seconds; what is left then goes to the spool."""
        self._until = time.monotonic() + patience
        self._stop.set()
        self._thread.join(patience)
        self._abort()
        self._thread.join(2.0)
        self._outbox.failed()

    def _abort(self) -> None:
        """A server that hangs must not hold us."""
        connection = self._connection
        if connection is not None and connection.sock is not None:
            with suppress(OSError):
                connection.sock.shutdown(socket.SHUT_RDWR)

    def _run(self) -> None:
        pause = _FIRST_PAUSE_S
        while not self._over():
            request = self._outbox.oldest(0.2)
            if request is None:
                continue
            try:
                wait = self._send(request)
            except (OSError, http.client.HTTPException, ValueError) as error:
                self._close()
                wait = -1.0
                self._away(str(error) or type(error).__name__)
            if wait == 0.0:
                pause = _FIRST_PAUSE_S
                self._outbox.done(request)
                continue
            self._outbox.failed()
            if self._stop.is_set():
                break
            self._stop.wait(wait if wait > 0 else pause * random.uniform(0.8, 1.2))  # noqa: S311 (no secret)
            pause = min(pause * 2, _LONGEST_PAUSE_S)
        self._close()

    def _over(self) -> bool:
        if not self._stop.is_set():
            return False
        return time.monotonic() > self._until or not self._outbox.in_memory()

    def _away(self, why: str) -> None:
        where = f"{self._where.host}:{self._where.port}"
        self._teller.once("server", f"the server at {where} is away ({why}): what is kept is spooled")

    def _send(self, request: Request) -> float:
        """0: done with; > 0: to be tried again after so many seconds; < 0: after our pause. OSError, HTTPException."""
        status, retry_after, answer = self._post(request)
        if 200 <= status < 300:
            self._counts.requests += 1
            self._counts.sent_bytes += len(request.body)
            self._teller.over("server", "the server is back")
            count, why = otlp.rejected(answer)
            if count:
                self._counts.rejected += count
                self._teller.once("rejected", f"the server did not take {count} of what was sent: {why[:200]}")
            return 0.0
        if status in {408, 429} or status >= 500:
            self._away(f"it says {status}")
            return _seconds(retry_after)
        self._counts.dropped += 1
        self._teller.once(f"refused-{status}", f"the server refuses what is sent ({status}): it is dropped")
        return 0.0

    def _post(self, request: Request) -> tuple[int, str, bytes]:
        headers = {**self._headers, "Content-Encoding": request.encoding} if request.encoding else self._headers
        fresh = self._connection is None
        try:
            return self._exchange(request, headers)
        except (OSError, http.client.HTTPException):
            self._close()
            if fresh or self._stop.is_set():
                raise
            return self._exchange(request, headers)  # the server had closed the kept connection meanwhile

    def _exchange(self, request: Request, headers: dict[str, str]) -> tuple[int, str, bytes]:
        if self._connection is None:
            self._connection = self._connect()
        self._connection.request("POST", self._where.prefix + request.path, request.body, headers)
        response = self._connection.getresponse()
        answer = response.read(_ANSWER)
        if response.read(1) or response.will_close:
            self._close()
        return response.status, response.headers.get("Retry-After", ""), answer

    def _connect(self) -> http.client.HTTPConnection:
        where = self._where
        if where.secure:
            context = ssl.create_default_context()
            return http.client.HTTPSConnection(where.host, where.port, timeout=_TIMEOUT_S, context=context)
        return http.client.HTTPConnection(where.host, where.port, timeout=_TIMEOUT_S)

    def _close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


def _seconds(retry_after: str) -> float:
    """-1.0: not given, or a date."""
    try:
        return min(max(float(retry_after), 0.05), 60.0)
    except ValueError:
        return -1.0
