"""An asyncio service that calls another: one request over httpx, then a little work on the answer."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
from fastapi import FastAPI

from .tick import tick

client: httpx.AsyncClient


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    global client
    async with httpx.AsyncClient(base_url=os.environ["BENCH_BACK"]) as client:
        yield


app = FastAPI(lifespan=lifespan)


async def ask(customer: str) -> dict[str, Any]:
    answer = await client.get("/", params={"name": customer})
    answer.raise_for_status()
    body: dict[str, Any] = answer.json()
    return body


def greeting(body: dict[str, Any]) -> str:
    words = body["message"].split()
    return " ".join(word.capitalize() for word in words)


@app.get("/")
async def order(customer: str = "A-17") -> dict[str, str]:
    number = tick()
    body = await ask(customer)
    if "message" not in body:
        raise ValueError(number)  # breakpoint
    return {"greeting": greeting(body)}
