"""Reports of machines."""

import logging
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
from fastapi import FastAPI, Request
from pydantic import BaseModel

from intake import states

logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
logging.getLogger("httpx").setLevel(logging.WARNING)
JOURNAL_URL = os.environ.get("JOURNAL_URL", "http://127.0.0.1:8002")


class Report(BaseModel):
    machine: str
    state: str
    protocol: str


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with httpx.AsyncClient(timeout=15) as client:
        app.state.client = client
        yield


app = FastAPI(title="intake", lifespan=lifespan)


@app.get("/healthz")
async def healthz() -> dict[str, str]:
    return {"status": "ok"}


@app.post("/reports", status_code=201)
async def report(request: Request, report: Report) -> dict[str, object]:
    entry = {"machine": report.machine, "code": states.code(report.state), "protocol": report.protocol}
    answer = await request.app.state.client.post(f"{JOURNAL_URL}/entries", json=entry)
    answer.raise_for_status()
    return {"entry": answer.json()["number"]}
