"""Contracts in SQLite. NULL: nothing was agreed."""

import os
import sqlite3
from pathlib import Path

DATABASE = Path(os.environ.get("DATA_DIR", "data")) / "tenants.sqlite"
SEED = [
    ("acme", "team", None),
    ("borealis", "team", 14),
    ("cobalt", "solo", 30),
    ("dune", "business", None),
    ("ember", "enterprise", 60),
    ("fjord", "enterprise", 0),
]


def prepare() -> None:
    with sqlite3.connect(DATABASE) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS contracts (name TEXT PRIMARY KEY, plan, trial_days)")
        connection.executemany("INSERT OR IGNORE INTO contracts VALUES (?, ?, ?)", SEED)
    connection.close()


def find(name: str) -> dict | None:
    connection = sqlite3.connect(DATABASE, timeout=10)
    try:
        row = connection.execute("SELECT name, plan, trial_days FROM contracts WHERE name = ?", (name,)).fetchone()
    finally:
        connection.close()
    return dict(zip(("name", "plan", "trial_days"), row, strict=True)) if row is not None else None
