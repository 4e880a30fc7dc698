"""Transfers between the accounts of a school's classes."""

import logging
import os

import httpx
from fastapi import FastAPI
from pydantic import BaseModel

from cashier import texts

logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
logging.getLogger("httpx").setLevel(logging.WARNING)
ACCOUNTS_URL = os.environ.get("ACCOUNTS_URL", "http://127.0.0.1:8002")
app = FastAPI(title="cashier")
client = httpx.Client(timeout=18)


class Transfer(BaseModel):
    source: str
    target: str
    cents: int
    text: str


@app.get("/healthz")
def healthz() -> dict[str, str]:
    return {"status": "ok"}


@app.post("/transfers", status_code=201)
def transfer(wish: Transfer) -> dict[str, object]:
    body = {**wish.model_dump(), "text": texts.tidy(wish.text)}
    answer = client.post(f"{ACCOUNTS_URL}/transfers", json=body)
    answer.raise_for_status()
    return {"left": answer.json()["left"]}
