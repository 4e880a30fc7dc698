"""The gateway's own book of what was sold at the front door."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from gateway import config

SCHEMA = """
CREATE TABLE IF NOT EXISTS receipts (
    reference TEXT PRIMARY KEY,
    country TEXT NOT NULL,
    total_cents INTEGER NOT NULL,
    at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP
)
"""


@contextmanager
def connect() -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(config.DATABASE, timeout=10)
    try:
        with connection:
            yield connection
    finally:
        connection.close()


def prepare() -> None:
    config.DATA.mkdir(parents=True, exist_ok=True)
    with connect() as connection:
        connection.execute(SCHEMA)


def book(reference: str, country: str, total_cents: int) -> None:
    with connect() as connection:
        connection.execute(
            "INSERT OR REPLACE INTO receipts (reference, country, total_cents) VALUES (?, ?, ?)",
            (reference, country, total_cents),
        )


def turnover(country: str) -> int:
    """Everything sold to one country so far, in cents."""
    with connect() as connection:
        row = connection.execute("SELECT coalesce(sum(total_cents), 0) FROM receipts WHERE country = ?", (country,))
        total: int = row.fetchone()[0]
    return total
