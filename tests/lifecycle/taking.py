"""A small agent: it takes rings over the hand-over and keeps all that stands in them."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from aftertrace import _native
from aftertrace.wire import handover
from aftertrace.wire.handover import Ok, Ring

type Slice = tuple[int, str, int, bytes]  # position, trace or "", thread, records


@dataclass
class Process:
    """What one process offered, and what its ring held."""

    ring: Ring
    reader: _native.Reader
    slices: list[Slice] = field(default_factory=list, repr=False)
    definitions: bytes = field(default=b"", repr=False)
    clocks: list[tuple[int, int, int, int, int]] = field(default_factory=list, repr=False)
    closed: bool = False
    in_order: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)

    def look(self) -> None:
        """Takes what is new in the ring."""
        with self.lock:
            while slices := self.reader.poll():
                for position, trace, thread, data in slices:
                    self.slices.append((position, trace.hex() if trace else "", thread, data))
            assert not self.reader.lost_bytes
            self.definitions += self.reader.definitions()
            self.clocks += self.reader.clocks()
            self.in_order = self.reader.ended()


class Agent:
    """Listens; each connection is a thread of its own."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.processes: list[Process] = []
        self._connections: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen(64)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._connections.append(connection)
            thread = threading.Thread(target=self._serve, args=(connection,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        lines, process = handover.Lines(), None
        while True:
            try:
                data, descriptors = handover.receive(connection)
            except OSError:
                data, descriptors = b"", []
            reader = _native.Reader(descriptors[0]) if descriptors else None
            handover.drop(descriptors)
            for line in lines.feed(data):
                process = self._take(connection, process, handover.decode(line), reader)
            if not data:
                if process is not None:
                    process.look()
                    process.closed = True
                return

    def _take(
        self,
        connection: socket.socket,
        process: Process | None,
        message: handover.Message,
        reader: _native.Reader | None,
    ) -> Process | None:
        if isinstance(message, Ring) and reader is not None:
            process = Process(message, reader)
            self.processes.append(process)
            with suppress(OSError):  # it may be gone already
                handover.send(connection, Ok("test"))
        return process

    def wait(self, condition: Callable[[list[Process]], bool], seconds: float = 30.0) -> list[Process]:
        """The processes, once the condition holds of them."""
        until = time.monotonic() + seconds
        while not condition(self.processes):
            assert time.monotonic() < until, [(p.ring.pid, p.ring.argv, p.closed, p.in_order) for p in self.processes]
            time.sleep(0.02)
            for process in list(self.processes):
                if not process.closed:
                    process.look()
        return self.processes

    def all_closed(self) -> list[Process]:
        """All processes, once every one has gone."""
        return self.wait(lambda found: bool(found) and not any(thread.is_alive() for thread in self._threads))

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self._connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()
