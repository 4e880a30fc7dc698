"""Tickets for the theatre."""

import logging

from fastapi import FastAPI
from pydantic import BaseModel

from tickets import prices, settling

logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
logging.getLogger("httpx").setLevel(logging.WARNING)
app = FastAPI(title="tickets")


class Wish(BaseModel):
    order: str
    card: str
    row: int
    seats: int
    voucher: str = ""


@app.get("/healthz")
def healthz() -> dict[str, str]:
    return {"status": "ok"}


@app.post("/orders", status_code=201)
def order(wish: Wish) -> dict[str, object]:
    cents = prices.total(wish.row, wish.seats, wish.voucher)
    settling.pay(wish.order, wish.card, cents)
    settling.check(wish.order, cents)
    return {"order": wish.order, "cents": cents}
