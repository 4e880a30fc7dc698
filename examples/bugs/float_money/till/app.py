"""The till of a café."""

import logging

from fastapi import FastAPI
from pydantic import BaseModel

from till import booking, receipts, tips

logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
app = FastAPI(title="till")


class Item(BaseModel):
    name: str
    amount: float


class Receipt(BaseModel):
    table: int
    items: list[Item]
    tip: str = ""


@app.get("/healthz")
def healthz() -> dict[str, str]:
    return {"status": "ok"}


@app.post("/receipts", status_code=201)
def close(receipt: Receipt) -> dict[str, object]:
    prices = [(item.name, item.amount) for item in receipt.items]
    printed = receipts.text(receipt.table, prices)
    entry = booking.book(receipt.table, prices, receipts.total(prices))
    return {"entry": entry, "tip": tips.cents(receipt.tip), "receipt": printed}
