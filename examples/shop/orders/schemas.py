"""What comes in and goes out."""

from pydantic import BaseModel


class NewPosition(BaseModel):
    sku: str
    quantity: int


class NewOrder(BaseModel):
    cart: str
    region: str
    coupon: str = ""
    loyalty: str = ""


class PlacedOrder(BaseModel):
    order: str
    total_cents: int
    shelf: str
