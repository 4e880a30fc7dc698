"""Orders, by customers themselves or by an agent on the phone."""

import logging
import os

import httpx
from fastapi import FastAPI
from pydantic import BaseModel

from orders import addresses, gifts

logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
logging.getLogger("httpx").setLevel(logging.WARNING)
SHIPPING_URL = os.environ.get("SHIPPING_URL", "http://127.0.0.1:8002")
app = FastAPI(title="orders")
client = httpx.Client(timeout=15)


class Order(BaseModel):
    customer: str
    placed_by: str
    article: str
    address: str
    gift: str = ""


@app.get("/healthz")
def healthz() -> dict[str, str]:
    return {"status": "ok"}


@app.post("/orders", status_code=201)
def order(order: Order) -> dict[str, str]:
    address = addresses.for_label(order.placed_by, order.customer, order.address)
    parcel = {"customer": order.customer, "article": order.article, "address": address}
    answer = client.post(f"{SHIPPING_URL}/parcels", json={**parcel, "card": gifts.card(order.gift)})
    answer.raise_for_status()
    return {"parcel": answer.json()["parcel"]}
