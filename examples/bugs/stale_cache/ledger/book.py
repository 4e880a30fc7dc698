"""Bookings, each checked against the price list."""

import secrets

listed = {"TEA-1": 890, "TEA-2": 1900, "CUP-4": 1250, "POT-9": 4900}
lines: dict[str, tuple[str, int, int]] = {}


class PriceMismatchError(Exception):
    """Auditors stop the shop for this."""


def check(sku: str, unit_cents: int) -> None:
    expected = listed[sku]
    if unit_cents != expected:
        raise PriceMismatchError(sku)


def add(sku: str, quantity: int, unit_cents: int) -> str:
    check(sku, unit_cents)
    booking = f"B-{secrets.token_hex(4)}"
    lines[booking] = (sku, quantity, quantity * unit_cents)
    return booking
