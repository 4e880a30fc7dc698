"""The database of members."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

DATABASE = Path(os.environ.get("DATA_DIR", "data")) / "members.sqlite"
FIRST = 1_760_000_000  # the day the clubs' lists were merged
SIZES = {"rowing": 23, "choir": 17, "climbing": 31, "chess": 25}
SAME_MOMENT = {("chess", 10), ("chess", 11), ("chess", 12)}  # with the ninth


@contextmanager
def connect() -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(DATABASE, timeout=10)
    connection.row_factory = sqlite3.Row
    try:
        with connection:
            yield connection
    finally:
        connection.close()


def prepare() -> None:
    with connect() as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS members (club, name, mail, joined INTEGER)")
        if connection.execute("SELECT count(*) FROM members").fetchone()[0]:
            return
        for club, size in SIZES.items():
            rows = [(club, f"{club}-{n:02}", _mail(club, n), _joined(club, n)) for n in range(size)]
            connection.executemany("INSERT INTO members VALUES (?, ?, ?, ?)", rows)


def _mail(club: str, number: int) -> str:
    return "" if number == 4 else f"{club}{number}@example.org"


def _joined(club: str, number: int) -> int:
    return FIRST + 100 * (9 if (club, number) in SAME_MOMENT else number)
