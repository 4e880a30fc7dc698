"""The bank's side, over HTTP."""

import logging

from fastapi import FastAPI
from pydantic import BaseModel

from bank import cards, charges

logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
app = FastAPI(title="bank")


class Charge(BaseModel):
    key: str
    order: str
    card: str
    cents: int


@app.get("/healthz")
async def healthz() -> dict[str, str]:
    return {"status": "ok"}


@app.post("/charges", status_code=201)
async def charge(wish: Charge) -> dict[str, str]:
    number = charges.book(wish.key, wish.order, wish.cents)
    await cards.tell_issuer(wish.card)
    return {"charge": number}


@app.get("/orders/{order}")
async def order(order: str) -> dict[str, int]:
    return {"charged": charges.of_order(order)}
