"""Members in the order in which they joined, a page at a time."""

from members.database import connect


def count(club: str) -> int:
    with connect() as connection:
        row = connection.execute("SELECT count(*) FROM members WHERE club = ?", (club,)).fetchone()
    return int(row[0])


def page(club: str, after: int, limit: int) -> list[dict]:
    """Those behind the cursor, which is the ``joined`` of the page before."""
    query = "SELECT name, mail, joined FROM members WHERE club = ? AND joined > ? ORDER BY joined, name LIMIT ?"  # bug
    with connect() as connection:
        rows = connection.execute(query, (club, after, limit)).fetchall()
    return [dict(row) for row in rows]
