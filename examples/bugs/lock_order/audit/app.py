"""The auditors' book."""

import asyncio
import logging

from fastapi import FastAPI
from pydantic import BaseModel

logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
app = FastAPI(title="audit")
DISK_SECONDS = 0.04
SIGNED_SECONDS = 0.4  # large sums get a signature
LARGE_CENTS = 20_000


class Entry(BaseModel):
    account: str
    cents: int
    text: str


@app.get("/healthz")
async def healthz() -> dict[str, str]:
    return {"status": "ok"}


@app.post("/entries", status_code=201)
async def enter(entry: Entry) -> dict[str, bool]:
    signed = entry.cents >= LARGE_CENTS
    await asyncio.sleep(SIGNED_SECONDS if signed else DISK_SECONDS)
    return {"signed": signed}
