"""Taking goods out of stock."""

import logging
import os

from inventory import config, db
from inventory.schemas import Wanted
from inventory.shelves import shelf_for

try:
    from aftertrace import keep
except ImportError:

    def keep(reason: str, **fields: object) -> None:
        """The shop also runs without a flight recorder."""


log = logging.getLogger(__name__)


class OutOfStockError(Exception):
    """Not enough of it left."""


def reserve(region: str, wanted: list[Wanted]) -> str:
    """Takes all that is wanted, and gives the shelf. Raises OutOfStockError."""
    shelf = shelf_for(region)
    for want in wanted:
        take(want.sku, want.quantity, shelf)
    return shelf


def pieces_left(sku: str) -> int:
    with db.transaction() as connection:
        row = connection.execute("SELECT pieces FROM stock WHERE sku = ?", (sku,)).fetchone()
    return int(row["pieces"]) if row else 0


def take(sku: str, quantity: int, shelf: str) -> int:
    left = pieces_left(sku)  # fault: 4
    if left < quantity:
        raise OutOfStockError(f"{sku}: {left} left, {quantity} wanted")
    print_slip(sku, quantity, shelf)
    with db.transaction() as connection:
        connection.execute("UPDATE stock SET pieces = pieces - ? WHERE sku = ?", (quantity, sku))
        after: int = connection.execute("SELECT pieces FROM stock WHERE sku = ?", (sku,)).fetchone()["pieces"]
    if after < 0:
        log.warning("%s is oversold: %d", sku, after)
        keep("oversold", sku=sku)
    return after


def print_slip(sku: str, quantity: int, shelf: str) -> None:
    """The picker reads it from the printer's folder; on disk before the stock goes down."""
    with (config.SLIPS / f"{shelf}.txt").open("a") as slip:
        slip.write(f"{shelf} {sku} x {quantity}\n")
        slip.flush()
        os.fsync(slip.fileno())
