"""What the demo plays on: ``aftertrace up`` of its own, and shops whose every process is recorded."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from aftertrace.cli import client, status
from aftertrace.cli.demo import variants
from aftertrace.cli.demo.processes import DemoFailed, Process, Processes, Shop, free_ports, wait_until
from aftertrace.cli.demo.sources import shop_sources
from aftertrace.cli.demo.variants import Truth
from aftertrace.errors import Unavailable
from aftertrace.explain import ls
from aftertrace.settings import Settings, from_environment
from aftertrace.show.console import Console

KEPT_SECONDS = 60.0  # from a failure until it can be asked for
GIVEN_UP_SECONDS = 10.0  # nothing came for so long: nothing will
POLL_SECONDS = 0.3
SETTLED_SECONDS = 2.0  # kept requests that did not grow for so long are whole
COMPANY_TOO = "role!=-"  # also what is kept to be compared with
COMMAND_SECONDS = 60.0
TRIES = 3  # to get ports: somebody may take them between our look and the server's start
RECORDED = ("--level", "lines", "--budget", "100%")

type Row = dict[str, Any]


def aftertrace(*words: str) -> list[str]:
    """The command line that runs a command of ours in this very installation."""
    return [sys.executable, "-P", "-m", "aftertrace", *words]


@dataclass(slots=True)
class Stage:
    """The demo's own server and agent; leaving it ends everything that it started."""

    directory: Path
    processes: Processes
    settings: Settings
    env: dict[str, str] = field(default_factory=dict)

    @classmethod
    def open(cls, directory: Path) -> Self:
        settings = from_environment().replace(
            agent_socket=str(directory / "agent.sock"), store_dir=str(directory / "store")
        )
        return cls(directory, Processes(directory / "logs"), settings)

    def __enter__(self) -> Self:
        self.processes.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self.processes.stop()

    def up(self) -> None:
        """Server and agent, on their usual ports where these are free. Raises Unavailable."""
        for tries in reversed(range(TRIES)):
            ports = _ports()
            up = self._start(*ports)
            try:
                wait_until(self._is_up, up)
            except Unavailable:
                if not tries or up.popen.poll() is None or all(map(_free, ports)):
                    raise
            else:
                return

    def _start(self, otlp: int, api: int) -> Process:
        self.settings = self.settings.replace(
            endpoint=f"http://127.0.0.1:{otlp}", server=f"http://127.0.0.1:{api}", token=""
        )
        self.env = _environment(self.settings, self.directory)
        options = ["--otlp-port", str(otlp), "--api-port", str(api), "--store", self.settings.store_dir]
        return self.processes.start("up", aftertrace("up", *options), env=self.env, cwd=self.directory)

    def _is_up(self) -> bool:
        try:
            client.ask("ls", settings=self.settings)
        except Unavailable:
            return False
        return Path(self.settings.agent_socket).exists()

    def shop(self, name: str, seed: int | None) -> Shop:
        """A variant of the shop, every process of it under ``aftertrace run``, ready for customers."""
        variant = variants.make(shop_sources(), self.directory / name, seed)
        shop = Shop(variant, self.directory / f"{name}-data", self.processes, dict(self.env), record)
        shop.start(free_ports(3))
        return shop

    def kept(self, query: str = "") -> list[Row]:
        """The kept requests, newest first, as ``ls --json`` gives them."""
        rows: list[Row] = client.ask("ls", settings=self.settings, query=query, limit=ls.MOST)["traces"]
        return rows

    def wait_kept(self, known: set[str], truths: Iterable[Truth]) -> dict[int, Row]:
        """By fault the request that was kept since ``known`` because of it, once nothing more comes; without the faults
        of which none was kept in time."""
        wanted, before = list(truths), ""
        since, deadline = time.monotonic(), time.monotonic() + KEPT_SECONDS
        while True:
            rows = self.kept(COMPANY_TOO)
            fresh = [row for row in rows if row["trace_id"] not in known]
            found = {one.fault: row for one in wanted if (row := because_of(one, fresh)) is not None}
            now = json.dumps([(row["trace_id"], row["spans"], row["services"], row["triggers"]) for row in rows])
            if now != before or len(rows) < self._agent_kept():
                before, since = now, time.monotonic()
            quiet = time.monotonic() - since
            if (
                quiet >= (SETTLED_SECONDS if len(found) == len(wanted) else GIVEN_UP_SECONDS)
                or time.monotonic() > deadline
            ):
                return found
            time.sleep(POLL_SECONDS)

    def _agent_kept(self) -> int:
        """How many requests the agent keeps; those that cannot be asked for yet are among them."""
        return int(status.ask(Path(self.settings.agent_socket))["counts"]["kept"])

    def run(self, *words: str, stdin: str = "", console: Console | None = None) -> str:
        """What one of our commands prints, as on that console. Raises DemoFailed when it fails."""
        shown = {} if console is None else {"COLUMNS": str(console.width)}
        shown |= {"FORCE_COLOR": "1"} if console is not None and console.colour else {}
        done = subprocess.run(
            aftertrace(*words),
            env=self.env | shown,
            cwd=self.directory,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS,
            check=False,
        )
        if done.returncode:
            said = (done.stderr or done.stdout).strip()
            raise DemoFailed("demo-command", f"`aftertrace {' '.join(words)}` failed: {said}", "")
        return done.stdout

    def answer(self, *words: str) -> dict[str, Any]:
        """The JSON that one of our commands prints."""
        answer: dict[str, Any] = json.loads(self.run(*words, "--json"))
        return answer

    def prefix(self, words: str) -> str:
        """What a person must put before ``aftertrace`` to ask this server, or agent; "" on the usual port."""
        server = self.settings.server
        asked = "" if server == Settings().server else f"AFTERTRACE_SERVER={server} "
        return (
            f"{asked}AFTERTRACE_AGENT_SOCKET={self.settings.agent_socket} " if words in {"status", "doctor"} else asked
        )


def because_of(truth: Truth, rows: Iterable[Row]) -> Row | None:
    """The row that was kept because of a fault: of several the slowest for latency, else the first."""

    def fits(row: Row) -> bool:
        why = [one["service"] for one in row["triggers"] if one["trigger"] == truth.trigger]
        return row["name"] == truth.request and bool(why) and truth.raised_in in {"", *why}

    found = [row for row in rows if fits(row)]
    if truth.trigger == "latency":
        return max(found, key=lambda row: int(row["duration_ns"]), default=None)
    return min(found, key=lambda row: int(row["time_ns"]), default=None)


def record(service: str, command: Sequence[str]) -> list[str]:
    """The command, under the recorder."""
    return aftertrace("run", "--service", service, *RECORDED, "--", *command)


def _ports() -> tuple[int, int]:
    usual = [4318, 7070]
    if all(_free(port) for port in usual):
        return usual[0], usual[1]
    otlp, api = free_ports(2)
    return otlp, api


def _free(port: int) -> bool:
    with socket.socket() as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            one.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def _environment(settings: Settings, directory: Path) -> dict[str, str]:
    """This process's environment, without what would steer other recorders or servers than the demo's."""
    mixed = ("AFTERTRACE_", "OTEL_", "PYTHON")
    env = {name: value for name, value in os.environ.items() if not name.startswith(mixed)}
    return env | {
        "AFTERTRACE_AGENT_SOCKET": settings.agent_socket,
        "AFTERTRACE_ENDPOINT": settings.endpoint,
        "AFTERTRACE_SERVER": settings.server,
        "AFTERTRACE_SPOOL_DIR": str(directory / "spool"),
        "AFTERTRACE_STORE_DIR": settings.store_dir,
    }
