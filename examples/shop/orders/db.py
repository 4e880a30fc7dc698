"""The database of carts and orders."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
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


def nights(products: list[tuple[str, str, int]]) -> Iterator[tuple[str, str, int]]:
    """What each piece cost in the nights of the last year: the same in all."""
    today = datetime.now(UTC).date()
    for ago in range(365):
        for sku, _, cents in products:
            yield sku, str(today - timedelta(days=ago)), cents


def prepare() -> None:
    config.DATA.mkdir(parents=True, exist_ok=True)
    seed = json.loads((HERE / "seed.json").read_text())
    with connect() as connection:
        connection.executescript((HERE / "schema.sql").read_text())
        connection.executemany("INSERT OR IGNORE INTO products VALUES (?, ?, ?)", seed["products"])
        if connection.execute("SELECT 1 FROM nightly").fetchone() is None:
            connection.executemany("INSERT INTO nightly VALUES (?, ?, ?)", nights(seed["products"]))
        connection.executemany("INSERT OR IGNORE INTO coupons VALUES (?, ?)", seed["coupons"])
