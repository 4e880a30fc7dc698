"""Runs programs bare and under `aftertrace run`, takes their rings as the agent does, and tells what stands in them."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from aftertrace import _native
from aftertrace.model import Value, ValueKind
from aftertrace.wire import handover, records
from aftertrace.wire.handover import Ok, Ring
from aftertrace.wire.kinds import (
    Log,
    Record,
    Segment,
    SpanAttr,
    SpanEnd,
    SpanEventRecord,
    SpanLinkRecord,
    SpanName,
    SpanStart,
    SpanStatus,
)

from . import servers

SERVER, CLIENT, PRODUCER, CONSUMER = 2, 3, 4, 5


@dataclass
class SpanSeen:
    """A span as its records tell it."""

    pid: int
    start: SpanStart
    name: str
    attributes: dict[str, Any]
    status: int = 0
    events: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    links: list[tuple[str, str]] = field(default_factory=list)
    ended: bool = False

    @property
    def id(self) -> str:
        return self.start.span_id

    @property
    def trace(self) -> str:
        return self.start.trace_id

    @property
    def parent(self) -> str:
        return self.start.parent_id

    @property
    def kind(self) -> int:
        return self.start.span_kind

    @property
    def scope(self) -> str:
        return self.start.scope


@dataclass
class LogSeen:
    pid: int
    trace: str
    record: Log


@dataclass
class Recorded:
    """What all processes of a run recorded, in each one's order."""

    spans: list[SpanSeen]
    logs: list[LogSeen]
    slices: list[tuple[int, str, list[Record]]]  # pid, trace, records

    def of(self, kind: int, **attributes: Any) -> list[SpanSeen]:
        """Spans of a kind; ``a_b="x"`` asks for the attribute a.b."""
        wanted = {name.replace("__", "."): value for name, value in attributes.items()}
        return [s for s in self.spans if s.kind == kind and wanted.items() <= s.attributes.items()]

    def one(self, kind: int, **attributes: Any) -> SpanSeen:
        found = self.of(kind, **attributes)
        assert len(found) == 1, [(span.name, span.kind, span.attributes) for span in self.spans]
        return found[0]

    def named(self, name: str) -> list[SpanSeen]:
        return [span for span in self.spans if span.name == name]


def plain(value: Value) -> Any:
    if value.kind is ValueKind.SCALAR:
        return value.scalar
    return [plain(item) for item in value.items] if value.kind is ValueKind.SEQUENCE else value


def told(slices: list[tuple[int, str, list[Record]]]) -> Recorded:
    spans: dict[str, SpanSeen] = {}
    logs: list[LogSeen] = []
    for pid, trace, found in slices:
        for record in found:
            if isinstance(record, SpanStart):
                attributes = {name: plain(value) for name, value in record.attributes}
                spans[record.span_id] = SpanSeen(pid, record, record.name, attributes)
            elif isinstance(record, Log):
                logs.append(LogSeen(pid, trace, record))
            elif isinstance(record, (SpanAttr, SpanName, SpanStatus, SpanEventRecord, SpanLinkRecord, SpanEnd)):
                _add(spans[record.span_id], record)
    return Recorded(list(spans.values()), logs, slices)


def _add(span: SpanSeen, record: Record) -> None:
    if isinstance(record, SpanAttr):
        span.attributes |= {name: plain(value) for name, value in record.attributes}
    elif isinstance(record, SpanName):
        span.name = record.name
    elif isinstance(record, SpanStatus):
        span.status = record.code
    elif isinstance(record, SpanEventRecord):
        span.events.append((record.name, {name: plain(value) for name, value in record.attributes}))
    elif isinstance(record, SpanLinkRecord):
        span.links.append((record.linked_trace_id, record.linked_span_id))
    elif isinstance(record, SpanEnd):
        assert not span.ended, f"{span.name} ended twice"
        span.ended = True


class Agent:
    """Takes rings and reads them, like the real one; all stays here."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.pids: list[int] = []
        self._threads: list[threading.Thread] = []
        self._slices: list[tuple[int, str, list[Record]]] = []
        self._readers: list[tuple[_native.Reader, int]] = []
        self._lock = threading.Lock()
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
            thread = threading.Thread(target=self._serve, args=(connection,), daemon=True)
            thread.start()
            self._threads.append(thread)

    def _serve(self, connection: socket.socket) -> None:
        lines, pid = handover.Lines(), 0
        with connection:
            while True:
                try:
                    data, descriptors = handover.receive(connection)
                except OSError:
                    data, descriptors = b"", []
                reader = _native.Reader(descriptors[0]) if descriptors else None
                handover.drop(descriptors)
                for line in lines.feed(data):
                    message = handover.decode(line)
                    if isinstance(message, Ring) and reader is not None:
                        pid = message.pid
                        self.pids.append(pid)
                        self._readers.append((reader, pid))
                        with suppress(OSError):
                            handover.send(connection, Ok("test"))
                if not data:
                    return

    def look(self) -> None:
        with self._lock:
            for reader, pid in list(self._readers):
                while slices := reader.poll():
                    assert not reader.lost_bytes
                    for _, trace, _, data in slices:
                        found = list(records.decode(data, base_ticks=0))
                        assert isinstance(found[0], Segment)
                        self._slices.append((pid, trace.hex() if trace else "", found))

    def recorded(self, until: Callable[[Recorded], object] | None = None, seconds: float = 20.0) -> Recorded:
        """What is there once the condition holds; without one, once every process has gone."""
        deadline = time.monotonic() + seconds
        while True:
            gone = not any(thread.is_alive() for thread in self._threads)
            self.look()
            found = told(self._slices)
            if until(found) if until is not None else gone and self._threads:
                return found
            assert time.monotonic() < deadline, [(s.pid, s.name, s.ended, s.attributes) for s in found.spans]
            time.sleep(0.02)

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


@dataclass
class Ran:
    code: int
    out: str
    err: str
    recorded: Recorded

    @property
    def answer(self) -> Any:
        """What the program printed last, as JSON."""
        return json.loads(self.out.splitlines()[-1])


class Runner:
    """``run(program)``: recorded. ``same(program)``: bare and recorded, which must look the same."""

    def __init__(self, home: Path, python: list[str]) -> None:
        self.home, self._python, self._count = home, python, 0
        self.python = python[0]

    def agent(self) -> Agent:
        self._count += 1
        return Agent(self.home / f"{self._count}.sock")

    def words(self, agent: Agent | None, words: list[str], level: str = "spans") -> list[str]:
        if agent is None:
            return words
        return [
            *self._python,
            "-m",
            "aftertrace",
            "run",
            "--agent-socket",
            str(agent.path),
            "--level",
            level,
            "--",
            *words,
        ]

    def environment(self, **more: str) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("AFTERTRACE_", "OTEL_", "PYTHON"))}
        return kept | {"PYTHONDONTWRITEBYTECODE": "1", "AFTERTRACE_ROOT": str(self.home)} | more

    def script(self, program: str, name: str = "program.py") -> Path:
        path = self.home / name
        path.write_text(textwrap.dedent(program))
        return path

    def bare(self, program: str, *flags: str, **env: str) -> subprocess.CompletedProcess[str]:
        return self._run(None, program, flags, "spans", env)

    def run(self, program: str, *flags: str, level: str = "spans", **env: str) -> Ran:
        agent = self.agent()
        try:
            done = self._run(agent, program, flags, level, env)
            return Ran(done.returncode, done.stdout, done.stderr, agent.recorded())
        finally:
            agent.close()

    def good(self, program: str, *flags: str, level: str = "spans", **env: str) -> Ran:
        """A program that must go well, and in which we must not fail; what it recorded."""
        ran = self.run(textwrap.dedent(program) + LEDGER, *flags, level=level, **env)
        assert ran.code == 0, ran.err
        failures, ran.out = ran.out.rstrip().rpartition("\n")[::2][::-1]
        assert failures == "[]", failures
        return ran

    def same(self, program: str, *flags: str, **env: str) -> Ran:
        bare, ran = self.bare(program, *flags, **env), self.run(program, *flags, **env)
        assert ran.out.splitlines() == bare.stdout.splitlines()
        assert ran.err.splitlines() == bare.stderr.splitlines()
        assert ran.code == bare.returncode
        return ran

    def _run(
        self, agent: Agent | None, program: str, flags: tuple[str, ...], level: str, env: dict[str, str]
    ) -> subprocess.CompletedProcess[str]:
        words = self.words(agent, [*self._python[:1], *flags, str(self.script(program))], level)
        return subprocess.run(
            words,
            cwd=self.home,
            env=self.environment(**env),
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )


LEDGER = """
import json as _json
from aftertrace.record import boundaries as _boundaries
print(_json.dumps([line for line in _boundaries.report() if line[1] == "skipped" or "failures" in line[2]]))
"""


@pytest.fixture
def runner(tmp_path: Path) -> Runner:
    return Runner(tmp_path, [sys.executable, "-P"])


@pytest.fixture
def agent(runner: Runner) -> Iterator[Agent]:
    found = runner.agent()
    yield found
    found.close()


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    with servers.postgres() as address:
        yield address


@pytest.fixture(scope="session")
def redis() -> Iterator[int]:
    with servers.redis() as port:
        yield port
