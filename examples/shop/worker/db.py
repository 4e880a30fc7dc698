"""The book of invoices."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from worker import config
from worker.invoices import Invoice

SCHEMA = """
CREATE TABLE IF NOT EXISTS invoices (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    reference TEXT NOT NULL,
    net TEXT NOT NULL,
    tax TEXT NOT NULL,
    currency TEXT NOT NULL
)
"""


@contextmanager
def connect() -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(config.DATABASE, timeout=10)
    try:
        with connection:
            connection.execute(SCHEMA)
            yield connection
    finally:
        connection.close()


def save(invoice: Invoice) -> int:
    """Gives the invoice's number."""
    with connect() as connection:
        cursor = connection.execute(
            "INSERT INTO invoices (reference, net, tax, currency) VALUES (?, ?, ?, ?)",
            (invoice.reference, str(invoice.net), str(invoice.tax), invoice.currency),
        )
    return int(cursor.lastrowid or 0)
