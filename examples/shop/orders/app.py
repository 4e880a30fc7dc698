"""The routes of orders."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, HTTPException

from orders import carts, db, warehouse
from orders.place import EmptyCartError, place
from orders.schemas import NewOrder, NewPosition, PlacedOrder

logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
logging.getLogger("httpx").setLevel(logging.WARNING)


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    db.prepare()
    yield


app = FastAPI(title="orders", lifespan=lifespan)


@app.get("/healthz")
def healthz() -> dict[str, str]:
    return {"status": "ok"}


@app.get("/carts/{cart}")
def read_cart(cart: str) -> dict[str, object]:
    return carts.summary(cart)


@app.post("/carts/{cart}/positions", status_code=201)
def add_position(cart: str, position: NewPosition) -> dict[str, int]:
    try:
        count = carts.add(cart, position.sku, position.quantity)
    except carts.UnknownProductError as error:
        raise HTTPException(404, f"no product {error}") from error
    return {"positions": count}


@app.post("/orders")
def new_order(body: NewOrder) -> PlacedOrder:
    try:
        return place(body)
    except EmptyCartError as error:
        raise HTTPException(422, f"cart {error} is empty") from error
    except warehouse.OutOfStockError as error:
        raise HTTPException(409, str(error)) from error
