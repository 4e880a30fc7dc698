"""The app's wallet: people pay in shops."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
from fastapi import FastAPI, Request
from pydantic import BaseModel

from wallet import paying, shops

logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
logging.getLogger("httpx").setLevel(logging.WARNING)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with httpx.AsyncClient(timeout=15) as client:
        app.state.client = client
        yield


app = FastAPI(title="wallet", lifespan=lifespan)


class Payment(BaseModel):
    account: str
    shop: str
    cents: int


@app.get("/healthz")
async def healthz() -> dict[str, str]:
    return {"status": "ok"}


@app.post("/payments")
async def pay(request: Request, payment: Payment) -> dict[str, object]:
    shop = shops.tidy(payment.shop)
    try:
        left = await paying.pay(request.app.state.client, payment.account, shop, payment.cents)
    except paying.NotAllowedError as error:
        return {"paid": False, "because": str(error)}
    return {"paid": True, "left": left}
