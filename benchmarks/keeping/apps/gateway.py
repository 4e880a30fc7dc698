"""The first service (FastAPI): prices what is bought, has it ordered, checks the receipt."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
from benchmarks.keeping.edges import SHELVES, UPSTREAM
from fastapi import FastAPI

app = FastAPI()
orders = httpx.AsyncClient(base_url=os.environ["ORDERS"], timeout=30, trust_env=False)


def priced(number: int) -> list[dict[str, int]]:
    lines = []
    for item in range(3 + number % 3):
        pieces = 1 + (number + item) % 4
        lines.append({"item": item, "pieces": pieces, "cents": 250 * pieces})
    return lines


def check(receipt: dict[str, Any], edge: str) -> int:
    key = "invoice" if edge == UPSTREAM else "total"
    return int(receipt[key])


def buyer(shelf: str) -> Callable[[int, str], Awaitable[dict[str, Any]]]:
    async def buy(number: int, edge: str = "") -> dict[str, Any]:
        lines = priced(number)
        words: dict[str, str | int] = {"number": number, "edge": edge}
        answer = await orders.post(f"/orders/{shelf}", params=words, json=lines)
        answer.raise_for_status()
        total = check(answer.json(), edge)
        return {"number": number, "total": total}

    return buy


@app.get("/healthz")
def healthz() -> str:
    return "ok"


for name in SHELVES:
    app.post(f"/buy/{name}")(buyer(name))
