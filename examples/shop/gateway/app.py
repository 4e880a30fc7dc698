"""The gateway's routes."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
from fastapi import FastAPI, Request

from gateway import checkout, clients, config, db
from gateway.regions import known_countries
from gateway.schemas import Checkout, Position, Receipt, Stocktake

logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
logging.getLogger("httpx").setLevel(logging.WARNING)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    db.prepare()
    async with httpx.AsyncClient(timeout=config.TIMEOUT_SECONDS) as client:
        app.state.client = client
        yield


app = FastAPI(title="gateway", lifespan=lifespan)


@app.get("/healthz")
async def healthz() -> dict[str, str]:
    return {"status": "ok"}


@app.get("/countries")
async def countries() -> dict[str, int]:
    return {country: db.turnover(country) for country in known_countries()}


@app.get("/products")
async def products(request: Request, limit: int = 10) -> Any:
    return await clients.fetch_products(request.app.state.client, limit)


@app.get("/cart/{cart}")
async def read_cart(request: Request, cart: str) -> Any:
    return await clients.fetch_cart(request.app.state.client, cart)


@app.post("/cart/{cart}", status_code=201)
async def add_to_cart(request: Request, cart: str, position: Position) -> Any:
    return await clients.put_in_cart(request.app.state.client, cart, position.sku, position.quantity)


@app.post("/checkout")
async def check_out(request: Request, body: Checkout) -> Receipt:
    return await checkout.check_out(request.app.state.client, body)


@app.post("/stocktake")
async def stocktake(request: Request, body: Stocktake) -> Any:
    return await clients.take_stock(request.app.state.client, body.aisle)
