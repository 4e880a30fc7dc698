"""Looking articles up."""

from stock.database import pool


def find(number: str) -> dict | None:
    with pool.connection() as connection:
        row = connection.execute(
            "SELECT number, shelf, pieces, unit FROM articles WHERE number = ?", (number,)
        ).fetchone()
    return dict(row) if row is not None else None
