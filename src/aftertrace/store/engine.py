"""The embedded ClickHouse (chDB): one process, one directory, a handle for each thread that uses it."""

from __future__ import annotations

import fcntl
import os
import queue
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import clickhouse_connect
import pyarrow as pa
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError

from aftertrace.errors import StoreError, Unavailable

_DATABASE = "aftertrace"
_READERS = 3
# error codes that pass: memory limit, disk full, too many parts, timeout (ClickHouse src/Common/ErrorCodes.cpp)
_PASSING = {159, 241, 243, 252}


class Lock:
    """One server per directory: a second one would find the engine's files half-written."""

    def __init__(self, directory: Path) -> None:
        """Raises StoreError: held by another process, or the directory cannot be had."""
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._fd = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StoreError(
                "store-directory", f"{directory} cannot be used: {error.strerror}.", "Choose another."
            ) from None
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = os.read(self._fd, 20).decode("ascii", "replace").strip() or "unknown"
            os.close(self._fd)
            raise StoreError(
                "store-locked",
                f"The store {directory} is in use by process {holder}.",
                "Stop that server, or give this one another directory with --store.",
            ) from None
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        os.close(self._fd)


class Engine:
    """Inserts on one handle (the writer's), queries on a few others. All errors are of the tree."""

    def __init__(self, directory: Path) -> None:
        self._lock = Lock(directory)
        self._path = str(directory / "chdb")
        self._clients: list[Client] = []
        self._readers: queue.SimpleQueue[Client] = queue.SimpleQueue()
        try:
            with _translated():
                first = self._client(None)
                first.command(f"CREATE DATABASE IF NOT EXISTS {_DATABASE}")
                self._writer = self._client(_DATABASE)
                for _ in range(_READERS):
                    self._readers.put(self._client(_DATABASE))
        except BaseException:
            self.close()
            raise

    def _client(self, database: str | None) -> Client:
        client = clickhouse_connect.get_client(interface="chdb", path=self._path, database=database)
        self._clients.append(client)
        return client

    def command(self, sql: str) -> None:
        """A statement without a result, on the writer's handle."""
        with _translated():
            self._writer.command(sql)

    def insert(self, table: str, rows: pa.Table) -> None:
        """Durable when it returns: the tables fsync their parts."""
        with _translated():
            self._writer.insert_arrow(table, rows)

    def query(self, sql: str, parameters: dict[str, Any], raw: Sequence[str] = ()) -> list[dict[str, Any]]:
        """Rows by column name. ``raw`` names the String columns that are bytes; FixedStrings always are."""
        client = self._readers.get()
        try:
            with _translated():
                result = client.query(sql, parameters=parameters, column_formats=dict.fromkeys(raw, "bytes"))
                return list(result.named_results())
        finally:
            self._readers.put(client)

    def close(self) -> None:
        for client in self._clients:
            client.close()
        self._clients.clear()
        self._lock.release()


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except ClickHouseError as error:
        text = str(error).split("\n", 1)[0][:300]
        if getattr(error, "code", None) in _PASSING:
            raise Unavailable("store-full", f"The store cannot take more now: {text}", "Free disk or memory.") from None
        raise StoreError("store-failed", f"The store refused: {text}", "The server's log says more.") from error
