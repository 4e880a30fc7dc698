"""PostgreSQL and Redis for these tests: instances of their own on free ports, in directories of their own."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def _postgres_binaries() -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: float(path.parts[-3]))
    on_path = shutil.which("initdb")
    if not found and on_path is None:
        pytest.skip("there is no PostgreSQL here")
    return found[-1].parent if found else Path(str(on_path)).parent


@contextmanager
def _home() -> Iterator[tuple[Path, str | None]]:
    """A directory, and the user to whom it belongs: PostgreSQL refuses to be run by root."""
    user = None
    with tempfile.TemporaryDirectory(prefix="aftertrace-") as name:
        if os.geteuid() == 0:
            user = next(u.pw_name for u in pwd.getpwall() if u.pw_name in {"postgres", "nobody"})
            shutil.chown(name, user)
        yield Path(name), user


@contextmanager
def _running(words: list[str], ready: Callable[[], bool], log: Path, user: str | None) -> Iterator[None]:
    with log.open("wb") as output:
        server = subprocess.Popen(words, stdout=output, stderr=output, user=user, cwd=log.parent)
    try:
        deadline = time.monotonic() + 60
        while not ready():
            assert server.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.02)
        yield
    finally:
        server.send_signal(signal.SIGINT)  # PostgreSQL's fast shutdown; SIGTERM would wait for its clients
        try:
            server.wait(10)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait(10)


@contextmanager
def postgres() -> Iterator[str]:
    """The address of an empty database: ``postgresql://...``."""
    binaries = _postgres_binaries()
    with _home() as (home, user):
        data, port = home / "data", free_port()
        subprocess.run(
            [
                str(binaries / "initdb"),
                "-D",
                str(data),
                "-U",
                "app",
                "-A",
                "trust",
                "-E",
                "UTF8",
                "--locale=C",
                "--no-sync",
            ],
            user=user,
            cwd=home,
            check=True,
            capture_output=True,
        )
        settings = {"fsync": "off", "listen_addresses": "127.0.0.1", "unix_socket_directories": str(home)}
        words = [str(binaries / "postgres"), "-D", str(data), "-p", str(port)]
        words += [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]

        def ready() -> bool:
            asked = [str(binaries / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(port)]
            return subprocess.run(asked, check=False).returncode == 0

        with _running(words, ready, home / "log", user):
            yield f"postgresql://app:not-to-be-told@127.0.0.1:{port}/postgres"


@contextmanager
def redis(*settings: str) -> Iterator[int]:
    """The port of an empty Redis on loopback."""
    binary = shutil.which("redis-server")
    if binary is None:
        pytest.skip("there is no Redis here")
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="aftertrace-") as home:
        words = [binary, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", home, *settings]

        def ready() -> bool:
            with socket.socket() as asked:
                return asked.connect_ex(("127.0.0.1", port)) == 0

        with _running(words, ready, Path(home) / "log", None):
            yield port
