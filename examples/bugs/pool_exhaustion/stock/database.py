"""SQLite, and a pool of connections to it."""

import os
import queue
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

DATABASE = Path(os.environ.get("DATA_DIR", "data")) / "stock.sqlite"
UNITS = ("piece", "box", "tray", "metre")
WAIT_SECONDS = 10


class Pool:
    """So many connections and no more; whoever comes when all are taken waits."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._free: queue.LifoQueue[sqlite3.Connection] = queue.LifoQueue()

    def open(self) -> None:
        for _ in range(self._size):
            connection = sqlite3.connect(DATABASE, check_same_thread=False)
            connection.row_factory = sqlite3.Row
            self._free.put(connection)

    @contextmanager
    def connection(self) -> Iterator[sqlite3.Connection]:
        taken = self._free.get(timeout=WAIT_SECONDS)
        try:
            yield taken
        finally:
            self._free.put(taken)


pool = Pool(3)


def prepare() -> None:
    with sqlite3.connect(DATABASE) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS articles (number TEXT PRIMARY KEY, shelf TEXT, pieces, unit)")
        rows = ((f"AR-{n:03}", f"S{n % 4 + 1}", n * 24 % 361, UNITS[n % 4]) for n in range(40))
        connection.executemany("INSERT OR IGNORE INTO articles VALUES (?, ?, ?, ?)", rows)
    connection.close()
    pool.open()
