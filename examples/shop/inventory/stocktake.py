"""Counting an aisle, shelf by shelf. Nobody may pick from a shelf while it is counted."""

import fcntl
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager

from inventory import config, db

log = logging.getLogger(__name__)


@contextmanager
def closed(shelf: str) -> Iterator[None]:
    """Holds the shelf's lock, which the pickers' handhelds take too."""
    path = config.LOCKS / f"{shelf}.lock"
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # fault: 6
        yield


def shelves_of(aisle: str) -> list[tuple[str, int]]:
    with db.transaction() as connection:
        rows = connection.execute("SELECT shelf, bins FROM shelves WHERE aisle = ?", (aisle,)).fetchall()
    return sorted((row["shelf"], row["bins"]) for row in rows)


def count_bins(shelf: str, bins: int) -> int:
    full = 0
    for number in range(bins):
        if (number * 7 + len(shelf)) % 5:
            full += 1
    return full


def take_stock(aisle: str) -> dict[str, int]:
    """Full bins of each shelf; each one is in the ledger before the next is begun."""
    counted: dict[str, int] = {}
    with config.LEDGER.open("a") as ledger:
        for shelf, bins in shelves_of(aisle):
            with closed(shelf):
                full = count_bins(shelf, bins)
            counted[shelf] = full
            ledger.write(f"{shelf},{full}\n")
            ledger.flush()
            os.fsync(ledger.fileno())
    log.info("counted %s", ", ".join(counted))
    return counted
