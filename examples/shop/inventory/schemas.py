"""What comes in and goes out."""

from pydantic import BaseModel


class Wanted(BaseModel):
    sku: str
    quantity: int


class Reservation(BaseModel):
    region: str
    wanted: list[Wanted]


class Delivery(BaseModel):
    sku: str
    pieces: int


class Stocktake(BaseModel):
    aisle: str
