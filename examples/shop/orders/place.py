"""Placing an order."""

import logging
import secrets

from orders import carts, db, pricing, warehouse
from orders.schemas import NewOrder, PlacedOrder

log = logging.getLogger(__name__)


class EmptyCartError(Exception):
    """Nothing to sell."""


def place(new: NewOrder) -> PlacedOrder:
    with db.connect() as connection:
        cart = carts.load(connection, new.cart)
        if not cart.positions:
            raise EmptyCartError(new.cart)
        subtotal = carts.subtotal_cents(cart)
        discount = pricing.discount_cents(connection, subtotal, new.coupon)
    if new.loyalty:
        book_loyalty(new.loyalty, subtotal)
    reservation = warehouse.reserve(new.region, cart.positions)
    placed = PlacedOrder(
        order=f"O-{secrets.token_hex(4)}",
        total_cents=subtotal - discount,
        shelf=reservation["shelf"],
    )
    save(new, placed)
    return placed


def book_loyalty(card: str, subtotal: int) -> int:
    points = subtotal // 100
    # decoy: log.error("loyalty ledger is %d bookings behind, %d points for %s wait", 40 + points % 9, points, card)
    log.info("%d points for %s", points, card)
    return points


def save(new: NewOrder, placed: PlacedOrder) -> None:
    row = (placed.order, new.cart, new.region, placed.shelf, placed.total_cents)
    with db.connect() as connection:
        connection.execute("INSERT INTO orders VALUES (?, ?, ?, ?, ?)", row)
        connection.execute("DELETE FROM positions WHERE cart = ?", (new.cart,))
