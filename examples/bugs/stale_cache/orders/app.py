"""Orders: a price from pricing, a booking in the ledger."""

import logging

import httpx
from fastapi import FastAPI, HTTPException
from pydantic import BaseModel

from orders import neighbours, notes

logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
logging.getLogger("httpx").setLevel(logging.WARNING)
app = FastAPI(title="orders")


class Order(BaseModel):
    sku: str
    quantity: int
    note: str = ""


@app.get("/healthz")
def healthz() -> dict[str, str]:
    return {"status": "ok"}


@app.post("/orders", status_code=201)
def place(order: Order) -> dict[str, object]:
    marks = notes.marks(order.note)
    cents = neighbours.price(order.sku)
    try:
        booking = neighbours.book(order.sku, order.quantity, cents)
    except httpx.HTTPStatusError as error:
        raise HTTPException(502, "the order was not booked") from error
    return {"booking": booking, "total_cents": cents * order.quantity, "marks": marks}
