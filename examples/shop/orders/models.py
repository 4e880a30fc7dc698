"""Products, positions and carts as the code sees them."""

import sqlite3
from dataclasses import dataclass
from functools import cached_property


@dataclass(frozen=True)
class Product:
    sku: str
    title: str
    price_cents: int


@dataclass(frozen=True)
class Coupon:
    code: str
    percent: str


@dataclass
class Position:
    """One product in a cart. The product is looked up when somebody asks for it."""

    connection: sqlite3.Connection
    sku: str
    quantity: int

    @cached_property
    def product(self) -> Product:
        query = (
            "SELECT title, cents, max(night) FROM products JOIN nightly ON nightly.sku = products.sku "
            "WHERE products.sku = ?"
        )
        title, cents, _ = self.connection.execute(query, (self.sku,)).fetchone()
        return Product(self.sku, title, cents)


@dataclass
class Cart:
    reference: str
    positions: list[Position]
