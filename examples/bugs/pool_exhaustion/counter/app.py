"""What the people at the counter use."""

import logging
import os

import httpx
from fastapi import FastAPI, HTTPException
from pydantic import BaseModel

from counter import units

logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
logging.getLogger("httpx").setLevel(logging.WARNING)
STOCK_URL = os.environ.get("STOCK_URL", "http://127.0.0.1:8002")
app = FastAPI(title="counter")
client = httpx.Client(timeout=15)


class Labels(BaseModel):
    shelf: str
    copies: int


@app.get("/healthz")
def healthz() -> dict[str, str]:
    return {"status": "ok"}


@app.get("/articles/{article}")
def article(article: str) -> dict[str, object]:
    answer = client.get(f"{STOCK_URL}/articles/{article}")
    if answer.status_code == 404:
        raise HTTPException(404, f"no article {article}")
    answer.raise_for_status()
    found = answer.json()
    return {**found, "shown": units.shown(found["pieces"], found["unit"])}


@app.post("/labels", status_code=201)
def labels(wish: Labels) -> dict[str, int]:
    answer = client.post(f"{STOCK_URL}/labels", json=wish.model_dump())
    answer.raise_for_status()
    return {"printed": answer.json()["printed"]}
