"""SQLite: customers have numbers of their tenant's own choice."""

import os
import random
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

DATABASE = Path(os.environ.get("DATA_DIR", "data")) / "papers.sqlite"
NUMBERS = {"north": range(1000, 1020), "south": range(2000, 2020), "west": (*range(3000, 3010), 1007)}
TABLES = """
CREATE TABLE customers (tenant TEXT, number INTEGER, name TEXT, PRIMARY KEY (tenant, number));
CREATE TABLE invoices (number TEXT PRIMARY KEY, tenant TEXT, customer INTEGER, cents INTEGER, due TEXT, paid INTEGER);
"""


@contextmanager
def connected() -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(DATABASE)
    connection.row_factory = sqlite3.Row
    try:
        yield connection
    finally:
        connection.close()


def prepare() -> None:
    chance, serial = random.Random(1), 0
    with connected() as connection, connection:
        connection.executescript(TABLES)
        for tenant, numbers in NUMBERS.items():
            for number in numbers:
                connection.execute("INSERT INTO customers VALUES (?, ?, ?)", (tenant, number, f"{tenant} {number}"))
                for month in range(1, chance.randint(2, 6)):
                    serial += 1
                    row = (f"{tenant[0].upper()}-{serial:05}", tenant, number, chance.randint(900, 90000))
                    paid = int(month < chance.randint(1, 5))
                    connection.execute(
                        "INSERT INTO invoices VALUES (?, ?, ?, ?, ?, ?)", (*row, f"2026-{month:02}-15", paid)
                    )
