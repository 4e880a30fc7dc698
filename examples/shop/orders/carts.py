"""What is in a cart, and what it comes to."""

import sqlite3

from orders import db
from orders.models import Cart, Position


class UnknownProductError(Exception):
    """Nobody sells that."""


def load(connection: sqlite3.Connection, reference: str) -> Cart:
    rows = connection.execute("SELECT sku, quantity FROM positions WHERE cart = ?", (reference,)).fetchall()
    positions = [Position(connection, row["sku"], row["quantity"]) for row in rows]
    return Cart(reference, positions)


def subtotal_cents(cart: Cart) -> int:
    total = 0
    for position in cart.positions:
        total += position.product.price_cents * position.quantity  # fault: 3
    return total


def summary(reference: str) -> dict[str, object]:
    with db.connect() as connection:
        cart = load(connection, reference)
        total = subtotal_cents(cart)
    return {"cart": reference, "positions": len(cart.positions), "total_cents": total}


def add(reference: str, sku: str, quantity: int) -> int:
    """Puts something in; gives the number of positions that the cart has now. Raises UnknownProductError."""
    with db.connect() as connection:
        found = connection.execute("SELECT 1 FROM products WHERE sku = ?", (sku,)).fetchone()
        if found is None:
            raise UnknownProductError(sku)
        connection.execute("INSERT INTO positions VALUES (?, ?, ?)", (reference, sku, quantity))
        count: int = connection.execute("SELECT count(*) FROM positions WHERE cart = ?", (reference,)).fetchone()[0]
    return count
