"""Requests on their way to the server: in memory while it answers, on disk while it does not.

The spool is a directory of files, one request each, oldest first by name; it is bounded, and the oldest go first. Where
the disk refuses, as many requests as fit are held in memory.
"""

from __future__ import annotations

import os
import secrets
import threading
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from aftertrace.agent.tell import Counts, Teller

MEMORY = 32 << 20  # bytes of requests held in memory


@dataclass(frozen=True, slots=True)
class Request:
    """A body for a path of the server (``/v1/traces``, ``/v1/logs``); ``encoding``: gzip, or "" for none."""

    path: str
    body: bytes
    encoding: str = ""
    file: str = ""  # of the spool, when it comes from there


_SUFFIXES = {
    ("/v1/traces", "gzip"): ".traces.gz",
    ("/v1/traces", ""): ".traces",
    ("/v1/logs", "gzip"): ".logs.gz",
    ("/v1/logs", ""): ".logs",
}
_BY_SUFFIX = {suffix: key for key, suffix in _SUFFIXES.items()}


def _suffix(name: str) -> str:
    return name[name.index(".") :] if "." in name else ""


class Outbox:
    """First in, first out. put() by the thread that packs, the rest by the one that ships."""

    def __init__(self, directory: Path, limit: int, counts: Counts, teller: Teller) -> None:
        self._directory = directory
        self._limit = limit
        self._counts = counts
        self._teller = teller
        self._waiting: deque[Request] = deque()
        self._waiting_bytes = 0
        self._changed = threading.Condition()
        self._files: deque[tuple[str, int]] = deque(self._left_behind())  # name, size
        self._file_bytes = sum(size for _, size in self._files)
        self._away = False
        self._last = 0  # time in the last file's name

    def put(self, request: Request) -> None:
        with self._changed:
            self._waiting.append(request)
            self._waiting_bytes += len(request.body)
            if self._away or self._waiting_bytes > MEMORY:
                self._spill()
            self._changed.notify()

    def oldest(self, timeout: float) -> Request | None:
        """What is to be sent next; waits up to ``timeout`` seconds for something. It stays until done() or failed()."""
        with self._changed:
            if not self._files and not self._waiting:
                self._changed.wait(timeout)
            while self._files:
                request = self._read(self._files[0][0])
                if request is not None:
                    return request
                self._forget_file()
            return self._waiting[0] if self._waiting else None

    def done(self, request: Request) -> None:
        """It has arrived, or is given up."""
        with self._changed:
            self._away = False
            if request.file:
                if self._files and self._files[0][0] == request.file:
                    self._forget_file()
            elif self._waiting and self._waiting[0] is request:
                self._waiting.popleft()
                self._waiting_bytes -= len(request.body)

    def failed(self) -> None:
        """The server is away: what is in memory goes to disk."""
        with self._changed:
            self._away = True
            self._spill()

    def empty(self) -> bool:
        with self._changed:
            return not self._files and not self._waiting

    def in_memory(self) -> int:
        with self._changed:
            return len(self._waiting)

    def behind(self) -> int:
        """Requests that wait, in memory and on disk."""
        with self._changed:
            return len(self._waiting) + len(self._files)

    def state(self) -> dict[str, int]:
        with self._changed:
            return {"waiting": len(self._waiting), "files": len(self._files), "bytes": self._file_bytes}

    # -- the spool

    def _left_behind(self) -> list[tuple[str, int]]:
        """The files of an agent before this one."""
        with suppress(OSError):
            files = [file for file in self._directory.iterdir() if _suffix(file.name) in _BY_SUFFIX]
            return sorted((file.name, file.lstat().st_size) for file in files)
        return []

    def _spill(self) -> None:
        while self._waiting:
            request = self._waiting[0]
            try:
                self._write(request)
            except OSError as error:
                self._teller.once("spool", f"cannot write to the spool {self._directory}: {error.strerror or error}")
                break
            self._teller.over("spool", "the spool can be written again")
            self._waiting.popleft()
            self._waiting_bytes -= len(request.body)
            self._counts.spooled += 1
        while self._waiting_bytes > MEMORY:
            self._waiting_bytes -= len(self._waiting.popleft().body)
            self._drop("memory")
        while self._file_bytes > self._limit and self._files:
            self._forget_file()
            self._drop("spool")

    def _drop(self, where: str) -> None:
        self._counts.dropped += 1
        self._teller.once("full", f"the {where} is full: the oldest of what could not be sent is dropped")

    def _write(self, request: Request) -> None:
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._last = max(time.time_ns(), self._last + 1)
        name = f"{self._last:020d}-{secrets.token_hex(4)}{_SUFFIXES[request.path, request.encoding]}"
        part = self._directory / f"{name}.part"
        try:
            descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(request.body)
            part.rename(self._directory / name)
        except OSError:
            with suppress(OSError):
                part.unlink()
            raise
        self._files.append((name, len(request.body)))
        self._file_bytes += len(request.body)

    def _read(self, name: str) -> Request | None:
        path, encoding = _BY_SUFFIX[_suffix(name)]
        try:
            return Request(path, (self._directory / name).read_bytes(), encoding, name)
        except OSError:
            return None

    def _forget_file(self) -> None:
        name, size = self._files.popleft()
        self._file_bytes -= size
        with suppress(OSError):
            (self._directory / name).unlink()
