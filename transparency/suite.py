"""One run of a package's tests, bare or recorded: the outcome of each, CPU, and the recorder's counters."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from transparency.rooms import HERE, Room

LIMIT = 1800.0  # s that one run may take
EXIT = "(exit status)"  # stands among the tests
_CLEARED = ("AFTERTRACE_", "OTEL_", "PYTHON", "PYTEST_", "COVERAGE_", "PIP_")


@dataclass(slots=True)
class Run:
    """``outcomes`` by test id; ``texts`` say why a test failed; ``cpu`` and ``wall`` in s, ``cpu`` of all processes
    that were waited for; ``not_user``: files that should have been recorded at lines and were not."""

    outcomes: dict[str, str] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)
    tests: int = 0
    recorder: dict[str, Any] = field(default_factory=dict)
    not_user: list[str] = field(default_factory=list)
    cpu: float = 0.0
    wall: float = 0.0

    @property
    def passed(self) -> int:
        return sum(outcome == "passed" for outcome in self.outcomes.values())


def run(room: Room, name: str, *, recorded: bool, progress: Callable[[int, int], object]) -> Run:
    """``name`` is of the run's files; ``progress`` is called now and then with the tests done and their number."""
    told = room.directory / f"{name}.jsonl"
    told.unlink(missing_ok=True)
    with (room.directory / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(
            _words(room, recorded=recorded),
            cwd=room.tree / room.package.directory,
            env=_environment(room, told),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    started = time.monotonic()
    status, cpu = _wait(process, lambda: progress(*_done(told)))
    return _read(told, status, cpu, time.monotonic() - started)


def _words(room: Room, *, recorded: bool) -> list[str]:
    python = [str(room.python), *room.package.python]
    if not recorded:
        return python
    include = [word for module in room.package.modules for word in ("--include", module)]
    # nobody listens there: the ring is written, and written over
    socket = ["--agent-socket", str(room.directory / "no-agent.sock")]
    ours = [str(room.aftertrace), "run", "--level", "lines", "--budget", "100%", "--root", str(room.tree)]
    return [*ours, *include, *socket, "--", *python]


def _environment(room: Room, told: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_CLEARED)}
    return kept | {
        "PATH": f"{room.python.parent}{os.pathsep}{kept.get('PATH', os.defpath)}",
        "PYTHONPATH": str(HERE / "inside"),
        "PYTHONHASHSEED": "0",
        "TZ": "UTC",
        "LC_ALL": "C.UTF-8",
        "COLUMNS": "80",
        "TRANSPARENCY_OUTCOMES": str(told),
        "TRANSPARENCY_MODULES": " ".join(room.package.modules),
    }


def _wait(process: subprocess.Popen[bytes], each_second: Callable[[], object]) -> tuple[str, float]:
    """How it ended, and its CPU in s."""
    deadline = time.monotonic() + LIMIT
    ended = os.pidfd_open(process.pid)
    try:
        while not (in_time := _readable(ended)) and time.monotonic() < deadline:
            each_second()
    finally:
        os.close(ended)
        _end_group(process.pid)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    how = str(process.returncode) if in_time else f"not done after {LIMIT:.0f} s"
    return how, usage.ru_utime + usage.ru_stime


def _readable(descriptor: int) -> bool:
    return bool(select.select([descriptor], [], [], 1.0)[0])


def _end_group(group: int) -> None:
    """What the tests left running, too."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)


def _lines(told: Path) -> list[dict[str, Any]]:
    """Whole lines only: it may be being written."""
    try:
        return [json.loads(line) for line in told.read_bytes().split(b"\n")[:-1]]
    except FileNotFoundError:
        return []


def _done(told: Path) -> tuple[int, int]:
    try:
        data = told.read_bytes()
    except FileNotFoundError:
        return 0, 0
    first, _, rest = data.partition(b"\n")
    tests = json.loads(first).get("tests", 0) if rest else 0
    return min(rest.count(b"\n"), tests), tests


def _read(told: Path, status: str, cpu: float, wall: float) -> Run:
    found = Run(cpu=cpu, wall=wall)
    for line in _lines(told):
        if "test" in line:
            before = found.outcomes.get(line["test"])
            found.outcomes[line["test"]] = f"{before}, {line['outcome']}" if before else line["outcome"]
            if line["text"]:
                found.texts[line["test"]] = line["text"]
        elif "recorder" in line:
            found.recorder, found.not_user = line["recorder"], line["not_user"]
        else:
            found.tests = line["tests"]
    found.outcomes[EXIT] = status
    return found
