"""The ledger, over HTTP."""

import logging

from fastapi import FastAPI
from pydantic import BaseModel

from ledger import book

logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
app = FastAPI(title="ledger")


class Entry(BaseModel):
    text: str
    cents: int


@app.get("/healthz")
async def healthz() -> dict[str, str]:
    return {"status": "ok"}


@app.post("/accounts/{account}/entries")
async def enter(account: str, entry: Entry) -> dict[str, int]:
    return {"left": book.enter(account, entry.text, entry.cents)}
