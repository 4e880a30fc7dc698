"""The library's front door."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
from fastapi import FastAPI, Request

from portal import covers, searching

logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
logging.getLogger("httpx").setLevel(logging.WARNING)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with httpx.AsyncClient(timeout=10) as client:
        app.state.client = client
        yield


app = FastAPI(title="portal", lifespan=lifespan)


@app.get("/healthz")
async def healthz() -> dict[str, str]:
    return {"status": "ok"}


@app.get("/books")
async def books(request: Request, q: str, limit: int = 5) -> dict[str, object]:
    found = await searching.find(request.app.state.client, q, limit)
    shown = [{"title": title, "cover": covers.cover(title)} for title in found["titles"]]
    return {"books": shown, "complete": not found["degraded"]}
