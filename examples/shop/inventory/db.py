"""The database of the warehouse."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from inventory import config

HERE = Path(__file__).parent


@contextmanager
def transaction() -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(config.DATABASE, timeout=10)
    connection.row_factory = sqlite3.Row
    try:
        with connection:
            yield connection
    finally:
        connection.close()


def prepare() -> None:
    for directory in (config.DATA, config.LOCKS, config.SLIPS):
        directory.mkdir(parents=True, exist_ok=True)
    seed = json.loads((HERE / "seed.json").read_text())
    with transaction() as connection:
        connection.executescript((HERE / "schema.sql").read_text())
        connection.executemany("INSERT OR IGNORE INTO stock VALUES (?, ?, ?, ?)", seed["stock"])
        connection.executemany("INSERT OR IGNORE INTO shelves VALUES (?, ?, ?)", seed["shelves"])
