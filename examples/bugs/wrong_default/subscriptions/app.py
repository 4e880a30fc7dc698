"""Subscriptions: a tenant's plan, its trial, and the first invoice from billing."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
from fastapi import FastAPI, Request
from pydantic import BaseModel

from subscriptions import neighbours, trials, vouchers

logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
logging.getLogger("httpx").setLevel(logging.WARNING)


class Wish(BaseModel):
    tenant: str
    seats: int
    voucher: str = ""


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with httpx.AsyncClient(timeout=10) as client:
        app.state.client = client
        yield


app = FastAPI(title="subscriptions", lifespan=lifespan)


@app.get("/healthz")
async def healthz() -> dict[str, str]:
    return {"status": "ok"}


@app.post("/subscriptions", status_code=201)
async def subscribe(request: Request, wish: Wish) -> dict[str, object]:
    client = request.app.state.client
    tenant = await neighbours.tenant(client, wish.tenant)
    days = trials.days(tenant)
    percent = vouchers.percent(wish.voucher)
    invoice = await neighbours.first_invoice(client, tenant["plan"], wish.seats, days, percent)
    return {"tenant": wish.tenant, "trial_days": days, "invoice": invoice}
