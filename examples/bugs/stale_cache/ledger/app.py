"""The ledger: what is booked must be what the price list of the day says."""

import logging

from fastapi import FastAPI
from pydantic import BaseModel

from ledger import book

logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
app = FastAPI(title="ledger")


class Line(BaseModel):
    sku: str
    quantity: int
    unit_cents: int


class Price(BaseModel):
    cents: int


@app.get("/healthz")
def healthz() -> dict[str, str]:
    return {"status": "ok"}


@app.put("/pricelist/{sku}")
def change(sku: str, price: Price) -> dict[str, int]:
    book.listed[sku] = price.cents
    return {"cents": price.cents}


@app.post("/bookings", status_code=201)
def add(line: Line) -> dict[str, str]:
    return {"booking": book.add(line.sku, line.quantity, line.unit_cents)}
