"""The print shop's counter: a preset, and what is to be otherwise."""

import logging
import os
from typing import Any

import httpx
from fastapi import FastAPI
from pydantic import BaseModel

from shop import names

logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
logging.getLogger("httpx").setLevel(logging.WARNING)
PREPRESS_URL = os.environ.get("PREPRESS_URL", "http://127.0.0.1:8002")
PRESS_URL = os.environ.get("PRESS_URL", "http://127.0.0.1:8003")
app = FastAPI(title="shop")
client = httpx.Client(timeout=15)


class Order(BaseModel):
    title: str
    preset: str
    otherwise: dict[str, Any]
    laminate: bool = False


@app.get("/healthz")
def healthz() -> dict[str, str]:
    return {"status": "ok"}


@app.post("/orders", status_code=201)
def order(order: Order) -> dict[str, Any]:
    wish = {"preset": order.preset, "otherwise": order.otherwise}
    prepared = client.post(f"{PREPRESS_URL}/settings", json=wish)
    prepared.raise_for_status()
    job = {"name": names.file_name(order.title), "laminate": order.laminate, "settings": prepared.json()}
    printed = client.post(f"{PRESS_URL}/jobs", json=job)
    printed.raise_for_status()
    return dict(printed.json())
