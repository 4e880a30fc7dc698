"""Load from a process of its own: ``python load.py closed PORT N`` or ``python load.py paced SOCKET``.

``closed``: N connections, each sends its next request when the last one is answered, until the process is ended; wrk
does the same where it is installed. It is stopped and continued by signals.

``paced``: requests arrive at times of their own, as from many clients who do not wait for each other (Poisson, the
same times for each server). A line of JSON on the unix socket, ``{"port", "rate", "seconds", "seed"}``, is answered by
one, ``{"offered", "latencies"}``: us from when a request should have begun to its last byte, so that waiting in front
of a busy server counts; what is not answered within the patience is missing.
"""

from __future__ import annotations

import json
import random
import selectors
import socket
import sys
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

REQUEST = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
MOST_CONNECTIONS = 16  # of the paced load
PATIENCE_S = 1.0  # after the last request
_LENGTH = b"content-length:"


class Broken(Exception):
    """The server closed a connection, or answered what is not 200."""


@dataclass(slots=True)
class Connection:
    """One keep-alive connection; ``due`` is when its request should have begun, in seconds of time.perf_counter."""

    socket: socket.socket
    due: float = 0.0
    received: bytearray = field(default_factory=bytearray)

    @classmethod
    def open(cls, port: int) -> Connection:
        one = socket.create_connection(("127.0.0.1", port))
        one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return cls(one)

    def ask(self, due: float) -> None:
        self.due = due
        self.received.clear()
        self.socket.sendall(REQUEST)

    def answered(self) -> bool:
        """Reads what is there: whether the answer is whole. Raises Broken."""
        data = self.socket.recv(1 << 16)
        if not data:
            raise Broken("the connection was closed")
        self.received += data
        head = self.received.find(b"\r\n\r\n")
        if head < 0:
            return False
        if not self.received.startswith(b"HTTP/1.1 200"):
            raise Broken(self.received[:80].decode("latin-1"))
        return len(self.received) >= head + 4 + _length(bytes(self.received[:head]).lower())


def _length(head: bytes) -> int:
    at = head.find(_LENGTH)
    return int(head[at + len(_LENGTH) :].split(b"\r", 1)[0]) if at >= 0 else 0


def closed(port: int, connections: int) -> None:
    """Until a signal ends it."""
    selector = selectors.DefaultSelector()
    for _ in range(connections):
        one = Connection.open(port)
        selector.register(one.socket, selectors.EVENT_READ, one)
        one.ask(0.0)
    while True:
        for key, _ in selector.select():
            if key.data.answered():
                key.data.ask(0.0)


def arrivals(rate: float, seconds: float, seed: int) -> Iterator[float]:
    """Times of a Poisson process of ``rate`` per second; the same for the same seed."""
    chance = random.Random(seed)  # noqa: S311  # no secret
    at = chance.expovariate(rate)
    while at < seconds:
        yield at
        at += chance.expovariate(rate)


class Paced:
    """Connections are opened when all others are busy, and stay for the next slice."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._free: list[Connection] = []
        self._busy = 0
        self._selector = selectors.DefaultSelector()

    def slice(self, rate: float, seconds: float, seed: int) -> dict[str, Any]:
        """One slice; connections that did not answer in time are closed."""
        times = deque(arrivals(rate, seconds, seed))
        offered, latencies, begin = len(times), [], time.perf_counter()
        end = begin + seconds + PATIENCE_S
        while (times or self._busy) and (now := time.perf_counter()) < end:
            while times and begin + times[0] <= now and (one := self._connection()) is not None:
                one.ask(begin + times.popleft())
            wait = max(begin + times[0] - time.perf_counter(), 0.0) if times else end - now
            latencies += self._answers(wait if self._can_ask() else end - now)
        self._give_up()
        return {"offered": offered, "latencies": latencies}

    def _can_ask(self) -> bool:
        return bool(self._free) or self._busy < MOST_CONNECTIONS

    def _connection(self) -> Connection | None:
        if not self._can_ask():
            return None
        self._busy += 1
        if self._free:
            return self._free.pop()
        one = Connection.open(self._port)
        self._selector.register(one.socket, selectors.EVENT_READ, one)
        return one

    def _answers(self, wait: float) -> list[int]:
        """us of those that came within ``wait`` seconds."""
        found = []
        for key, _ in self._selector.select(wait):
            one: Connection = key.data
            if one.answered():
                found.append(round((time.perf_counter() - one.due) * 1e6))
                self._busy -= 1
                self._free.append(one)
        return found

    def _give_up(self) -> None:
        if self._busy:
            self._close_connections()

    def _close_connections(self) -> None:
        for key in list(self._selector.get_map().values()):
            self._selector.unregister(key.fileobj)
            key.data.socket.close()
        self._free, self._busy = [], 0

    def close(self) -> None:
        self._close_connections()
        self._selector.close()


def paced(path: str) -> None:
    """Serves slices until the other end closes."""
    servers: dict[int, Paced] = {}
    with socket.socket(socket.AF_UNIX) as line:
        line.connect(path)
        with line.makefile("rw") as lines:
            for order in map(json.loads, lines):
                server = servers.setdefault(order["port"], Paced(order["port"]))
                try:
                    answer = server.slice(order["rate"], order["seconds"], order["seed"])
                except (OSError, Broken) as error:
                    servers.pop(order["port"]).close()
                    answer = {"error": str(error) or type(error).__name__}
                lines.write(json.dumps(answer) + "\n")
                lines.flush()


def main() -> None:
    try:
        if sys.argv[1] == "closed":
            closed(int(sys.argv[2]), int(sys.argv[3]))
        else:
            paced(sys.argv[2])
    except KeyboardInterrupt:
        pass
    except (OSError, Broken) as error:
        raise SystemExit(f"load: {error}") from None


if __name__ == "__main__":
    main()
