"""The database of carts and orders."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from orders import config

HERE = Path(__file__).parent


@contextmanager
def connect() -> Iterator[sqlite3.Connection]:
    """A transaction on a connection of its own."""
    connection = sqlite3.connect(config.DATABASE, timeout=10)
    connection.row_factory = sqlite3.Row
    try:
        with connection:
            yield connection
    finally:
        connection.close()


def prepare() -> None:
    config.DATA.mkdir(parents=True, exist_ok=True)
    seed = json.loads((HERE / "seed.json").read_text())
    with connect() as connection:
        connection.executescript((HERE / "schema.sql").read_text())
        connection.executemany("INSERT OR IGNORE INTO products VALUES (?, ?, ?)", seed["products"])
        connection.executemany("INSERT OR IGNORE INTO coupons VALUES (?, ?)", seed["coupons"])
