"""Coupons."""

import logging
import sqlite3

from orders.models import Coupon

log = logging.getLogger(__name__)


def find_coupon(connection: sqlite3.Connection, code: str) -> Coupon:
    row = connection.execute("SELECT code, percent FROM coupons WHERE code = ?", (code,)).fetchone()
    if row is None:
        raise LookupError(code)
    return Coupon(row["code"], row["percent"])


def discount_cents(connection: sqlite3.Connection, subtotal: int, code: str) -> int:
    """What a coupon takes off. One that we do not know takes off nothing: customers mistype them all day."""
    if not code:
        return 0
    try:
        coupon = find_coupon(connection, code)
        percent = int(coupon.percent)  # fault: 2
        discount = subtotal * percent // 100
    except Exception:
        log.info("coupon %s not taken", code)
        discount = 0
    return discount
