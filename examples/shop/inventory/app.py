"""The routes of inventory."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, HTTPException

from inventory import db, stocktake
from inventory.reserve import OutOfStockError, reserve
from inventory.schemas import Delivery, Reservation, Stocktake

logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    db.prepare()
    yield


app = FastAPI(title="inventory", lifespan=lifespan)


@app.get("/healthz")
def healthz() -> dict[str, str]:
    return {"status": "ok"}


@app.get("/products")
def products(limit: int = 10) -> list[dict[str, object]]:
    with db.transaction() as connection:
        rows = connection.execute("SELECT sku, title, pieces FROM stock LIMIT ?", (limit,)).fetchall()
    return [{"sku": row["sku"], "title": row["title"], "available": row["pieces"] > 0} for row in rows]


@app.post("/reserve")
def make_reservation(body: Reservation) -> dict[str, str]:
    try:
        shelf = reserve(body.region, body.wanted)
    except OutOfStockError as error:
        raise HTTPException(409, str(error)) from error
    return {"shelf": shelf}


@app.put("/stock")
def deliver(body: Delivery) -> dict[str, int]:
    """A count by hand: this many pieces are there now."""
    with db.transaction() as connection:
        connection.execute("UPDATE stock SET pieces = ? WHERE sku = ?", (body.pieces, body.sku))
    return {"pieces": body.pieces}


@app.get("/stock/{sku}")
def pieces(sku: str) -> dict[str, int]:
    with db.transaction() as connection:
        row = connection.execute("SELECT pieces FROM stock WHERE sku = ?", (sku,)).fetchone()
    if row is None:
        raise HTTPException(404, f"no {sku} here")
    return {"pieces": row["pieces"]}


@app.post("/stocktake")
def take_stock(body: Stocktake) -> dict[str, int]:
    return stocktake.take_stock(body.aisle)
