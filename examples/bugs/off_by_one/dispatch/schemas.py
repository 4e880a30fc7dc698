"""What depots send, and what they get."""

from pydantic import BaseModel


class Parcel(BaseModel):
    number: str
    street: str
    grams: int
    x: int
    y: int


class Day(BaseModel):
    depot: str
    parcels: list[Parcel]


class Plan(BaseModel):
    depot: str
    vans: int
    metres: list[int]
