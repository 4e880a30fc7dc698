"""The demo's processes: each in a group of its own, with its own log file, and all of them gone at the end."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, Self

from aftertrace.cli.demo.variants import Variant
from aftertrace.errors import AftertraceError, Unavailable

START_SECONDS = 45.0
STOP_SECONDS = 6.0
TRAFFIC_SECONDS = 90.0
HUEY_READY = "Huey consumer started"

type Wrap = Callable[[str, Sequence[str]], list[str]]  # (service, its command) -> the command to start


class DemoFailed(AftertraceError):
    """The demo did not show what it promises."""


@dataclass(slots=True)
class Process:
    """A started command, the leader of its process group."""

    name: str
    popen: subprocess.Popen[bytes]
    log: Path

    @property
    def pid(self) -> int:
        return self.popen.pid

    def log_text(self) -> str:
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def kill(self) -> None:
        """SIGKILL to the process itself, as the kernel or an impatient supervisor would send it."""
        os.kill(self.pid, signal.SIGKILL)
        self.popen.wait(STOP_SECONDS)

    def stop(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)

    def wait(self, deadline: float) -> bool:
        try:
            self.popen.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            return False
        return True


@dataclass(slots=True)
class Processes:
    """All that was started; used as a context manager, it leaves none behind."""

    logs: Path
    started: list[Process] = field(default_factory=list)

    def __enter__(self) -> Self:
        self.logs.mkdir(parents=True, exist_ok=True)
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self, name: str, command: Sequence[str], *, env: Mapping[str, str], cwd: Path) -> Process:
        log = self.logs / f"{name}.log"
        with log.open("ab") as output, _uninterrupted():
            popen = subprocess.Popen(
                command,
                env=dict(env),
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
            process = Process(name, popen, log)
            self.started.append(process)
        return process

    def stop(self) -> None:
        """Everything that was started, newest first."""
        self.stop_some(list(reversed(self.started)))

    def stop_some(self, processes: Sequence[Process]) -> None:
        """SIGTERM to each one's group, SIGKILL to what is left of it."""
        for process in processes:
            process.stop(signal.SIGTERM)
        deadline = time.monotonic() + STOP_SECONDS
        for process in processes:
            process.wait(deadline)
        for process in processes:
            process.stop(signal.SIGKILL)
            process.wait(time.monotonic() + STOP_SECONDS)
        self.started = [process for process in self.started if process not in processes]


@contextlib.contextmanager
def _uninterrupted() -> Iterator[None]:
    """Ctrl-C and SIGTERM wait until its end: nobody would know of a process that was just being started."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    held: list[int] = []
    numbers = [one for one in (signal.SIGINT, signal.SIGTERM) if callable(signal.getsignal(one))]
    before = {one: signal.signal(one, lambda caught, _: held.append(caught)) for one in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if held:
            signal.raise_signal(held[0])


@contextlib.contextmanager
def terminated_cleanly() -> Iterator[None]:
    """SIGTERM ends the command as Ctrl-C does: nothing that it started is left behind."""

    def interrupt(_: int, __: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def free_ports(count: int, base: int = 0) -> list[int]:
    """Ports of this host that nobody listens on; ``base``: exactly ``base``, ``base + 1``, ..."""
    if base:
        return list(range(base, base + count))
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:  # noqa: S310 (our own loopback URL)
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def wait_until(ready: Callable[[], bool], process: Process, seconds: float = START_SECONDS) -> None:
    """Raises Unavailable if the process ends, or is not ready in time; its log's last lines are in the message."""
    deadline = time.monotonic() + seconds
    while not ready():
        code = process.popen.poll()
        if code is not None or time.monotonic() > deadline:
            state = f"ended with {code}" if code is not None else f"was not ready within {seconds:.0f} s"
            tail = "\n".join(process.log_text().splitlines()[-12:])
            raise Unavailable("demo-start", f"{process.name} {state}:\n{tail}", f"Its log: {process.log}")
        time.sleep(0.1)


@dataclass(slots=True)
class Shop:
    """One variant of the shop as running processes."""

    variant: Variant
    data: Path
    processes: Processes
    env: dict[str, str]
    wrap: Wrap = lambda _, command: list(command)
    urls: dict[str, str] = field(default_factory=dict)  # role -> address
    by_role: dict[str, Process] = field(default_factory=dict)

    def start(self, ports: Sequence[int]) -> None:
        """Starts every service and waits until each answers. Raises Unavailable."""
        self.data.mkdir(parents=True, exist_ok=True)
        self.env |= {"SHOP_DATA": str(self.data), "PYTHONUNBUFFERED": "1"}
        remaining = list(ports)
        for service in self.services:
            if "url" in service:
                service["port"] = remaining.pop(0)
                self.urls[service["role"]] = url = f"http://127.0.0.1:{service['port']}"
                self.env[service["url"]] = url
        for service in self.services:
            self._start_one(service["role"])
        for service in self.services:
            self._wait(service["role"])

    @property
    def services(self) -> list[dict[str, Any]]:
        return list(self.variant.manifest["services"])

    def service(self, role: str) -> dict[str, Any]:
        return next(one for one in self.services if one["role"] == role)

    def of_service(self, name: str) -> Process:
        return next(one for one in self.by_role.values() if one.name == name)

    def restart(self, role: str) -> None:
        """A service that has ended, once more, until it answers. Raises Unavailable."""
        self._start_one(role)
        self._wait(role)

    def _start_one(self, role: str) -> None:
        service = self.service(role)
        command = [sys.executable, *(part.format(port=service.get("port")) for part in service["command"])]
        name = service["name"]
        self.by_role[role] = self.processes.start(name, self.wrap(name, command), env=self.env, cwd=self.variant.root)

    def _wait(self, role: str) -> None:
        process = self.by_role[role]
        if role in self.urls:
            wait_until(lambda: answers(f"{self.urls[role]}/healthz"), process)
        else:
            wait_until(lambda: HUEY_READY in process.log_text(), process)

    def traffic(self, *arguments: str) -> dict[str, Any]:
        """What the customers of traffic.py report. Raises DemoFailed if they could not do what they meant to."""
        command = self._traffic(*arguments)
        done = subprocess.run(
            command,
            env=self.env,
            cwd=self.variant.root,
            capture_output=True,
            text=True,
            timeout=TRAFFIC_SECONDS,
            check=False,
        )
        return _report(done.returncode, done.stdout, done.stderr)

    def _traffic(self, *arguments: str) -> list[str]:
        return [sys.executable, "traffic.py", *arguments]

    def kill_in_request(self) -> dict[str, Any]:
        """Fault 6: a stocktake waits for a shelf that somebody else keeps closed; its process is killed meanwhile.

        Gives what the client got, and the ``pid`` of what was killed. Raises DemoFailed if it never got there.
        """
        import fcntl  # noqa: PLC0415 (not on every platform where the rest of the command line works)

        stuck, victim = self.variant.manifest["stuck"], self.by_role["back"]
        command, pipe = self._traffic("fault", "6"), subprocess.PIPE
        with (self.data / stuck["lock"]).open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            with subprocess.Popen(
                command, env=self.env, cwd=self.variant.root, stdout=pipe, stderr=pipe, text=True
            ) as client:
                try:
                    self._wait_for_ledger(stuck)
                    victim.kill()
                    output, errors = client.communicate(timeout=TRAFFIC_SECONDS)
                finally:
                    client.kill()
        return {**_report(client.returncode, output, errors), "pid": victim.pid}

    def _wait_for_ledger(self, stuck: Mapping[str, str]) -> None:
        """Until the shelf before the closed one is counted, and a little longer: it waits for the lock then."""
        ledger, deadline = self.data / stuck["progress"], time.monotonic() + 20
        while not (ledger.exists() and f"{stuck['before']}," in ledger.read_text()):
            if time.monotonic() > deadline:
                raise DemoFailed(
                    "demo-stocktake", "The stocktake did not reach the closed shelf.", f"Logs: {self.processes.logs}"
                )
            time.sleep(0.05)
        time.sleep(0.7)


def _report(code: int, output: str, errors: str) -> dict[str, Any]:
    if code:
        last = errors.strip().splitlines()[-1:] or ["no message"]
        raise DemoFailed("demo-traffic", f"The shop's customers failed: {last[0]}", "The services' logs say more.")
    report: dict[str, Any] = json.loads(output)
    return report
