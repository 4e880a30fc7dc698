"""A server with workers, bare or recorded, and what is done to it."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from lab import Lab, Ran, witnessed
from taking import Agent
from telling import Story

APP = """
import asyncio, os, signal, time
import witness
from witness import here
witness.within(1)  # OpenTelemetry is there from now on
def answer(path):
    what, _, more = path[1:].partition("/")
    if what == "hello":
        here(path)
    elif what == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    elif what == "hang":
        here("hangs")
        time.sleep(60)
    elif what == "fail":
        raise LookupError(path)
    return f"{os.getpid()} {path}".encode()
def released():
    return os.path.exists(os.environ["WITNESS"] + ".released")
def parts(path):
    here("begins")
    while not released():
        time.sleep(0.02)
        yield b"."
    here("ends")
    yield b"done"
def wsgi(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/slow":
        start_response("200 OK", [])
        return parts(path)
    body = answer(path)
    start_response("200 OK", [("content-length", str(len(body)))])
    return [body]
async def asgi(scope, receive, send):
    if scope["type"] == "lifespan":
        while (await receive())["type"] != "lifespan.shutdown":
            here("startup")
            await send({"type": "lifespan.startup.complete"})
        here("shutdown")
        await send({"type": "lifespan.shutdown.complete"})
        return
    path = scope["path"]
    if path == "/slow":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        here("begins")
        while not released():
            await asyncio.sleep(0.02)
            await send({"type": "http.response.body", "body": b".", "more_body": True})
        here("ends")
        await send({"type": "http.response.body", "body": b"done"})
        return
    await asyncio.sleep(0)
    body = answer(path)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})
"""


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


@dataclass
class Server:
    """A server that runs; what it answers."""

    process: subprocess.Popen[bytes]
    port: int
    seen: Path
    home: Path
    log: Path
    count: int  # of workers
    notes: list[str] = field(default_factory=list)  # what came of all that was done to it

    def get(self, path: str, trace: int = 0, seconds: float = 20.0) -> str:
        headers = {"traceparent": f"00-{trace:032x}-{trace:016x}-01"} if trace else {}
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=seconds) as response:
                body: str = response.read().decode()
                return body
        except urllib.error.HTTPError as error:
            with error:
                return f"status {error.code}"

    def tried(self, path: str) -> str:
        """The answer, or that there was none."""
        try:
            return self.get(path)
        except OSError:
            return "no answer"

    def until(self, condition: Callable[[], object], what: str) -> None:
        until = time.monotonic() + 40
        while not condition():
            assert time.monotonic() < until, what
            time.sleep(0.03)

    def ready(self) -> None:
        """All workers have answered."""
        answered: set[int] = set()

        def all_have() -> bool:
            assert self.process.poll() is None, self.log.read_text()
            answered.add(self.pid())
            return len(workers := self.workers()) == self.count and workers <= answered

        self.until(all_have, "not all workers answer")

    def pid(self) -> int:
        word = self.tried("/pid").partition(" ")[0]
        return int(word) if word.isdigit() else 0

    def hello(self, first: int, count: int = 8) -> None:
        """Several requests at the same time, each in a trace of its own."""
        with ThreadPoolExecutor(4) as pool:
            for n, body in enumerate(
                pool.map(lambda n: self.get(f"/hello/{n}", n), range(first, first + count)), first
            ):
                self.notes.append(f"hello {n}: {body.partition(' ')[2]}")

    def dies(self) -> None:
        """A worker is killed in the middle of a request; when that was noticed, another takes its place."""
        self.notes.append(f"die: {self.tried('/die')}")
        self.until(lambda: re.search(r"SIGKILL|\] died", self.log.read_text()), "nobody notices the death")
        self.ready()

    def ends_gracefully(self, sign: str) -> None:
        """While a request is under way; ``sign`` is what the server logs when it has begun to end."""
        release, found = Path(f"{self.seen}.released"), []
        release.unlink(missing_ok=True)
        thread = threading.Thread(target=lambda: found.append(self.get("/slow", 900, 60)))
        thread.start()
        self.until(
            lambda: any(line.startswith("begins") for line in witnessed(self.seen)), "the request does not begin"
        )
        self.process.send_signal(signal.SIGTERM)
        self.until(lambda: sign in self.log.read_text(), "the server does not begin to end")
        release.touch()
        thread.join(60)
        assert found, "the request did not end"
        self.notes.append(f"slow: {found[0].strip('.')}")

    def reloads(self, reload: Callable[[], object]) -> None:
        """New workers for old ones."""
        old = self.workers()
        reload()
        self.until(lambda: not old & self.workers(), "an old worker stays")
        self.ready()
        self.notes.append("reloaded")

    def workers(self) -> set[int]:
        """The server's children, but for the one that cleans up behind them."""
        found = set()
        for path in Path(f"/proc/{self.process.pid}/task").glob("*/children"):
            found |= {int(pid) for pid in text_of(path).split()}
        return {pid for pid in found if "resource_tracker" not in text_of(Path(f"/proc/{pid}/cmdline"))}


def text_of(path: Path) -> str:
    """Of a process or thread, which may end meanwhile."""
    try:
        return path.read_text()
    except OSError:
        return ""


@contextmanager
def serving(lab: Lab, words: list[str], agent: Agent | None, name: str) -> Iterator[Server]:
    """A server on a free port (PORT in the words), with a directory of its own (NAME), which is gone afterwards."""
    port, seen, log = free_port(), lab.home / f"seen.{name}", lab.home / f"log.{name}"
    seen.unlink(missing_ok=True)
    words = [word.replace("PORT", str(port)).replace("NAME", name) for word in words]
    (lab.home / name).mkdir()
    (lab.home / name / "watched.py").write_text("")
    with log.open("wb") as file:
        environment = lab.environment(agent, seen)
        environment["HOME"] = str(lab.home / name)  # gunicorn has a socket there
        del environment["PYTHONUNBUFFERED"]  # a line that is logged is one write
        process = subprocess.Popen(
            words, cwd=lab.home, env=environment, stdout=file, stderr=file, start_new_session=True
        )
        try:
            server = Server(process, port, seen, lab.home / name, log, 1 if "--reload" in words else 2)
            server.ready()
            yield server
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


type Deeds = Callable[[Server], None]


def serve(lab: Lab, words: list[str], deeds: Deeds, agent: Agent | None) -> tuple[Ran, list[str]]:
    """One run, until the server has ended by itself; and what came of the deeds."""
    name = "bare" if agent is None else "recorded"
    with serving(lab, words, agent, name) as server:
        deeds(server)
        server.process.wait(60)
    ran = Ran(server.process.returncode, said(server), "", witnessed(server.seen))
    if agent is not None:
        ran.processes = agent.all_closed()
        ran.stories = [Story(process) for process in ran.processes]
    return ran, server.notes


def both(lab: Lab, words: list[str], deeds: Deeds) -> tuple[Ran, Ran, list[str]]:
    """Bare and recorded at the same time: what came of the deeds must be the same, and is given back."""
    agent = lab.agent()
    try:
        with ThreadPoolExecutor(2) as pool:
            first = pool.submit(serve, lab, words, deeds, None)
            (recorded, notes), (bare, expected) = serve(lab, words, deeds, agent), first.result()
    finally:
        agent.close()
    assert notes == expected
    assert recorded.code == bare.code
    return bare, recorded, notes


def said(server: Server) -> str:
    """The kinds of lines that the server logged, without what differs from run to run."""
    lines = set()
    for line in server.log.read_text().splitlines():
        placed = line.replace(f"{server.home}", "HOME").replace(f"{server.home.name}/", "HOME/")
        timeless = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d[,.\d]* *([+-]\d{4})?|0x[0-9a-f]+", "", placed)
        whole = re.search(r".*(\[(INFO|WARNING|ERROR|CRITICAL)\] .*)|^(\w+: .*|\s.*|Traceback.*)", timeless)
        # gunicorn's handlers of signals log in the middle of a line; how a worker went depends on who was quicker
        if whole and "was sent SIG" not in line:
            lines.add(re.sub(r"\b\d+\b", "N", whole.group(1) or whole.group(3)))
    return "\n".join(sorted(lines))
