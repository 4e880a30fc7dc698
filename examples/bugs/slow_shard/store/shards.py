"""Four SQLite files; who is in which follows from the handle."""

import os
import sqlite3
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

DATA = Path(os.environ.get("DATA_DIR", "data"))
SHARDS = 4
PEOPLE = 400
OLD_PEOPLE = 1_200_000  # from before handles were hashed
INDEX = "CREATE INDEX people_handle ON people (lower(handle))"
MIGRATED = (0, 1, 3)  # old people moved away, index made; the job was killed before the last one: ticket 4471
OLD = """
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)
INSERT INTO people SELECT 'old-' || i, 0, i % 7 FROM n
"""


def shard_of(handle: str) -> int:
    return zlib.crc32(handle.encode()) % SHARDS


@contextmanager
def connect(shard: int) -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(DATA / f"people-{shard}.sqlite", timeout=10)
    connection.row_factory = sqlite3.Row
    try:
        with connection:
            yield connection
    finally:
        connection.close()


def prepare() -> None:
    """An empty store gets people to show."""
    for shard in range(SHARDS):
        with connect(shard) as connection:
            if connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                continue
            connection.execute("CREATE TABLE people (handle TEXT, seen INTEGER, posts INTEGER)")
            if shard in MIGRATED:
                connection.execute(INDEX)
            else:
                connection.execute(OLD, (OLD_PEOPLE,))
            mine = (n for n in range(PEOPLE) if shard_of(f"user{n}") == shard)
            rows = ((f"user{n}", 1_760_000_000 + n, n % 70) for n in mine)
            connection.executemany("INSERT INTO people VALUES (?, ?, ?)", rows)
