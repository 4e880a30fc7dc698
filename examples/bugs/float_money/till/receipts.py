"""What is printed. Guests see euros."""

from decimal import Decimal

type Prices = list[tuple[str, float]]


def total(prices: Prices) -> str:
    """Euros, two digits behind the point."""
    return str(sum((Decimal(f"{amount:.2f}") for _, amount in prices), Decimal("0.00")))


def text(table: int, prices: Prices) -> str:
    lines = [f"{name:<12}{amount:8.2f}" for name, amount in prices]
    return "\n".join([f"table {table}", *lines, f"{'total':<12}{total(prices):>8}"])
