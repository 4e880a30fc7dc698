"""The price list in SQLite."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

DATABASE = Path(os.environ.get("DATA_DIR", "data")) / "pricing.sqlite"
SEED = {"TEA-1": 890, "TEA-2": 1900, "CUP-4": 1250, "POT-9": 4900}


@contextmanager
def connect() -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(DATABASE, timeout=10)
    try:
        with connection:
            yield connection
    finally:
        connection.close()


def prepare() -> None:
    with connect() as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS prices (sku TEXT PRIMARY KEY, cents INTEGER)")
        connection.executemany("INSERT OR IGNORE INTO prices VALUES (?, ?)", SEED.items())


def current(sku: str) -> int:
    with connect() as connection:
        row = connection.execute("SELECT cents FROM prices WHERE sku = ?", (sku,)).fetchone()
    return int(row[0])


def change(sku: str, cents: int) -> None:
    with connect() as connection:
        connection.execute("INSERT OR REPLACE INTO prices VALUES (?, ?)", (sku, cents))
