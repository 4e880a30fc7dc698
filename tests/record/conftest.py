"""A small agent that really listens: it takes rings over the hand-over and reads them with the native reader."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from aftertrace import _native
from aftertrace.wire import handover
from aftertrace.wire.handover import Message, Ok, Ring, SourceFile

COMMAND = [sys.executable, "-P", "-m", "aftertrace"]
START, LINE, KEEP = 3, 4, 21


@dataclass
class Process:
    """One connection: what a process offered and sent."""

    connection: socket.socket
    ring: Ring | None = None
    reader: _native.Reader | None = None
    sources: list[SourceFile] = field(default_factory=list)
    kinds: Counter[int] = field(default_factory=Counter)
    closed: bool = False
    in_order: bool = False

    def look(self) -> None:
        """Counts the records that are new in the ring."""
        if self.reader is None:
            return
        while slices := self.reader.poll():
            for _, _, _, records in slices:
                at = 0
                while at < len(records):
                    self.kinds[records[at]] += 1
                    at += 3 + int.from_bytes(records[at + 1 : at + 3], "little")
        self.in_order = self.reader.ended()


class Agent:
    def __init__(self, path: Path, answer: Message | None = None) -> None:
        self.path = path
        self.processes: list[Process] = []
        self._answer = answer or Ok("test")
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen(64)
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            process = Process(connection)
            self.processes.append(process)
            threading.Thread(target=self._serve, args=(process,), daemon=True).start()

    def _serve(self, process: Process) -> None:
        lines = handover.Lines()
        while True:
            try:
                data, descriptors = handover.receive(process.connection)
            except OSError:
                data, descriptors = b"", []
            for descriptor in descriptors:
                process.reader = _native.Reader(descriptor)
                os.close(descriptor)
            for line in lines.feed(data):
                self._take(process, handover.decode(line))
            if not data:
                process.look()
                process.closed = True
                return

    def _take(self, process: Process, message: Message) -> None:
        if isinstance(message, Ring):
            process.ring = message
            with suppress(OSError):  # it may be gone already
                handover.send(process.connection, self._answer)
        elif isinstance(message, SourceFile):
            process.sources.append(message)

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()  # one that it has just accepted is closed too
        self._listener.close()
        for process in self.processes:
            with suppress(OSError):
                process.connection.shutdown(socket.SHUT_RDWR)  # also wakes the thread that reads it
            process.connection.close()
        self.path.unlink(missing_ok=True)

    def wait(self, condition: Callable[[list[Process]], bool], seconds: float = 20.0) -> list[Process]:
        """The processes, once the condition holds of them."""
        until = time.monotonic() + seconds
        while not condition(self.processes):
            assert time.monotonic() < until, [(p.ring, p.closed, p.in_order, dict(p.kinds)) for p in self.processes]
            time.sleep(0.02)
            for process in self.processes:
                if not process.closed:
                    process.look()
        return self.processes

    def all_closed(self) -> list[Process]:
        return self.wait(lambda processes: bool(processes) and all(process.closed for process in processes))


@pytest.fixture
def socket_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("agent") / "a.sock"


@pytest.fixture
def agent(socket_path: Path) -> Iterator[Agent]:
    found = Agent(socket_path)
    yield found
    found.close()


def environment(**more: str) -> dict[str, str]:
    """This one without what other runs have left in it."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("AFTERTRACE_", "OTEL_", "PYTHON"))}
    return kept | more


def recorded(socket_path: Path, words: list[str], *options: str) -> list[str]:
    return [*COMMAND, "run", "--agent-socket", str(socket_path), *options, "--", *words]


def run(words: list[str], cwd: Path, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        words,
        cwd=cwd,
        env=environment(**more),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        input="one\ntwo\n",
    )
