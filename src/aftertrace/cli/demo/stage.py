"""What the demo plays on: ``aftertrace up`` of its own, and shops whose every process is recorded."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from aftertrace.cli import client
from aftertrace.cli.demo import variants
from aftertrace.cli.demo.processes import DemoFailed, Process, Processes, Shop, free_ports, wait_until
from aftertrace.cli.demo.sources import shop_sources
from aftertrace.cli.demo.variants import Truth
from aftertrace.errors import Unavailable
from aftertrace.settings import Settings, from_environment

KEPT_SECONDS = 30.0  # from a failure until it can be asked for
SETTLED_SECONDS = 2.0  # a kept request that did not grow for so long is whole
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

    def kept(self) -> list[Row]:
        """The kept requests, newest first, as ``ls --json`` gives them."""
        rows: list[Row] = client.ask("ls", settings=self.settings, limit=500)["traces"]
        return rows

    def wait_kept(self, known: set[str], truth: Truth) -> Row:
        """The request that was kept since ``known`` because of the service in which the fault shows. DemoFailed."""
        service = truth.raised_in or truth.service
        deadline = time.monotonic() + KEPT_SECONDS
        while time.monotonic() < deadline:
            for row in self.kept():
                if row["trace_id"] not in known and service in {one["service"] for one in row["triggers"]}:
                    return self._settled(row)
            time.sleep(0.2)
        raise DemoFailed(
            "demo-not-kept",
            f"Fault {truth.fault} happened, but no request of {service} was kept within {KEPT_SECONDS:.0f} s.",
            f"Logs: {self.processes.logs}",
        )

    def _settled(self, row: Row) -> Row:
        """The same row, once it has not grown for a while: other services may still be sending."""
        since, deadline = time.monotonic(), time.monotonic() + KEPT_SECONDS
        while time.monotonic() < min(since + SETTLED_SECONDS, deadline):
            time.sleep(0.2)
            now = next((one for one in self.kept() if one["trace_id"] == row["trace_id"]), row)
            if (now["spans"], now["services"], now["triggers"]) != (row["spans"], row["services"], row["triggers"]):
                row, since = now, time.monotonic()
        return row

    def run(self, *words: str, stdin: str = "") -> str:
        """What one of our commands prints. Raises DemoFailed when it fails."""
        done = subprocess.run(
            aftertrace(*words),
            env=self.env,
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
