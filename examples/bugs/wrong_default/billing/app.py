"""Billing: the first invoice of a subscription."""

import logging

from fastapi import FastAPI
from pydantic import BaseModel

from billing import invoices

logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
app = FastAPI(title="billing")


class Order(BaseModel):
    plan: str
    seats: int
    trial: int
    percent_off: int


@app.get("/healthz")
def healthz() -> dict[str, str]:
    return {"status": "ok"}


@app.post("/invoices", status_code=201)
def invoice(order: Order) -> dict[str, object]:
    due = invoices.due_day(order.plan, order.trial)
    cents = invoices.amount(order.plan, order.seats, order.percent_off)
    return {"invoice": invoices.number(), "due": due, "cents": cents}
