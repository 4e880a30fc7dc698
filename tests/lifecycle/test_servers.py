"""Servers with workers, killed, reloaded, ended at work: as they are bare, and each worker's recording is right."""

from __future__ import annotations

import signal
import sys
from collections import Counter
from pathlib import Path

import pytest
from lab import Lab, alike, check
from serving import APP, Server, both

BIN = Path(sys.executable).parent
GUNICORN = [str(BIN / "gunicorn"), "-b", "127.0.0.1:PORT", "-w", "2", "--graceful-timeout", "40"]
KINDS = {
    "sync": ["-k", "sync", "--timeout", "3", "app:wsgi"],
    "sync, loaded before the fork": ["-k", "sync", "--preload", "app:wsgi"],
    "gthread": ["-k", "gthread", "--threads", "3", "app:wsgi"],
    "gevent": ["-k", "gevent", "--graceful-timeout", "1", "app:wsgi"],
    "uvicorn": ["-k", "uvicorn_worker.UvicornWorker", "app:asgi"],
}


def run(lab: Lab, words: list[str], deeds: object) -> None:
    """Bare and recorded; the traces that came with the requests are those of the recording."""
    bare, recorded, notes = both(lab, words, deeds)  # type: ignore[arg-type]
    assert recorded.out == bare.out
    assert any(note.startswith("hello") for note in notes)
    alike(recorded, bare)
    check(recorded)
    for line in recorded.seen:
        if line.startswith("/hello/"):
            number = int(line.split("|")[0].rpartition("/")[2])
            assert line.endswith(f"|{number:x}")
    begun = Counter(span[0] for story in recorded.stories for span in story.spans.values())
    assert begun["GET"] >= len(notes)


@pytest.mark.parametrize("kind", KINDS)
def test_gunicorn(kind: str, lab: Lab) -> None:
    def deeds(server: Server) -> None:
        server.hello(1)
        server.dies()
        server.hello(20)
        if kind == "sync":
            server.notes.append(f"hang: {server.tried('/hang')}")
            server.ready()
        if "before" not in kind:  # a preloaded application stays as it is
            server.reloads(lambda: server.process.send_signal(signal.SIGHUP))
        server.hello(40)
        server.ends_gracefully("Waiting for connections" if kind == "uvicorn" else "Handling signal: term")

    lab.write(APP)
    run(lab, [*GUNICORN, *KINDS[kind]], deeds)


def test_uvicorn_with_workers(lab: Lab) -> None:
    def deeds(server: Server) -> None:
        server.hello(1)
        server.dies()
        server.hello(20)
        server.reloads(lambda: server.process.send_signal(signal.SIGHUP))
        server.hello(40)
        server.ends_gracefully("Waiting for connections")

    lab.write(APP)
    run(lab, [sys.executable, "-m", "uvicorn", "app:asgi", "--workers", "2", "--port", "PORT"], deeds)


def test_uvicorn_that_reloads(lab: Lab) -> None:
    def deeds(server: Server) -> None:
        server.hello(1)
        server.reloads(lambda: (server.home / "watched.py").write_text("changed = True\n"))
        server.hello(20)
        server.process.send_signal(signal.SIGINT)

    lab.write(APP)
    words = [sys.executable, "-m", "uvicorn", "app:asgi", "--reload", "--reload-dir", "NAME", "--port", "PORT"]
    words += ["--reload-delay", "0.05"]  # it has seen the file as it was long before a worker answers
    run(lab, words, deeds)
