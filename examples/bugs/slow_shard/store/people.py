"""Finding a person."""

from store import shards

FIND = "SELECT handle, seen, posts FROM people WHERE lower(handle) = ?"


def find(handle: str) -> dict | None:
    shard = shards.shard_of(handle)
    with shards.connect(shard) as connection:
        row = connection.execute(FIND, (handle.lower(),)).fetchone()  # bug
    return dict(row) if row is not None else None
