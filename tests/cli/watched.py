"""A real agent with recorded processes that do as they are told: for `top` and `doctor --live`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

COMMAND = [sys.executable, "-P", "-m", "aftertrace"]

# Does more than a budget of 2 % can pay for, in requests; the threads of `mail` run outside of any.
ORDERS = """\
import time

from aftertrace import _native


def fib(n):
    return n if n < 2 else fib(n - 1) + fib(n - 2)


def parse(text):
    try:
        int(text)
    except ValueError:
        return None


def request():
    with _native.Span("POST /orders") as span:
        token = _native.attach(span)
        fib(13)
        for _ in range(300):
            parse("x")
        _native.detach(token)


print("ready", flush=True)
while True:
    request()
    time.sleep(0.005)
"""

MAIL = """\
import sys
import threading

from aftertrace import _native


def connect():
    return 1


def send_mail(stop):
    while not stop.wait(0.002):
        connect()


def charge(text):
    return text[:1]


def request(count):
    with _native.Span("POST /pay") as span:
        token = _native.attach(span)
        for _ in range(count):
            charge("x" * 250)
        _native.detach(token)


def at_rest(count):
    for _ in range(count):
        connect()


worker = threading.Thread(target=send_mail, args=(threading.Event(),), daemon=True)
worker.start()
request(2000)
at_rest(300)
print("ready", flush=True)
for line in sys.stdin:
    request(int(line))
    print("done", flush=True)
"""


class Watched:
    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.socket = directory / "agent.sock"
        self.orders, self.mail = directory / "orders.py", directory / "mail.py"
        self.orders.write_text(ORDERS)
        self.mail.write_text(MAIL)
        self.agent: subprocess.Popen[str] | None = None
        self._children: list[subprocess.Popen[str]] = []

    def environment(self, **more: str) -> dict[str, str]:
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("AFTERTRACE_", "OTEL_"))}
        return {**kept, "AFTERTRACE_AGENT_SOCKET": str(self.socket), "COLUMNS": "140", **more}

    def start_agent(self) -> None:
        words = ["agent", "--json", "--spool", str(self.directory / "spool"), "--endpoint", "http://127.0.0.1:1"]
        self.agent = self._popen(words, self.environment())
        assert self.agent.stdout is not None
        assert json.loads(self.agent.stdout.readline())

    def record(self, service: str, program: Path, *options: str, **env: str) -> subprocess.Popen[str]:
        words = ["run", "--service", service, *options, "--", sys.executable, str(program)]
        child = self._popen(words, self.environment(**env))
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        return child

    def _popen(self, words: list[str], env: dict[str, str]) -> subprocess.Popen[str]:
        pipe = subprocess.PIPE
        child = subprocess.Popen(
            [*COMMAND, *words],
            env=env,
            cwd=self.directory,
            stdin=pipe,
            stdout=pipe,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self._children.append(child)
        return child

    def run(self, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*COMMAND, *words], env=self.environment(**env), capture_output=True, text=True, timeout=60, check=False
        )

    def top(self, *words: str) -> dict[str, Any]:
        done = self.run("top", "--json", *words)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.count("\n") == 1
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    def doctor(self, *words: str) -> tuple[int, dict[str, Any]]:
        done = self.run("doctor", "--live", "--json", *words)
        assert done.stderr == ""
        return done.returncode, json.loads(done.stdout)

    def end(self) -> None:
        for child in self._children:
            with suppress(ProcessLookupError):
                child.send_signal(signal.SIGCONT)
            child.kill()
            child.wait(20)
            for stream in (child.stdin, child.stdout):
                if stream is not None:
                    stream.close()


@contextmanager
def watching(directory: Path) -> Iterator[Watched]:
    """An agent, `orders` within a budget of 2 %, `mail` at calls with a ring of 1 MiB."""
    watched = Watched(directory)
    try:
        watched.start_agent()
        watched.record("orders", watched.orders, "--budget", "2%")
        watched.record("mail", watched.mail, "--level", "calls", AFTERTRACE_RING_BYTES="1MiB")
        yield watched
    finally:
        watched.end()


def wait_for[T](what: Callable[[], T], seconds: float = 30.0) -> T:
    until = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < until, f"waited {seconds} s"
        time.sleep(0.05)
    return found
