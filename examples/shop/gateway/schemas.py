"""What comes in and goes out at the front door."""

from pydantic import BaseModel, Field


class Position(BaseModel):
    sku: str
    quantity: int = Field(default=1, ge=1, le=500)


class Checkout(BaseModel):
    cart: str
    country: str = Field(min_length=2, max_length=2)
    recipient: str
    coupon: str = ""
    loyalty: str = ""


class Receipt(BaseModel):
    order: str
    total_cents: int
    shelf: str


class Stocktake(BaseModel):
    aisle: str
