"""Asks search; when it could not reach all of the index, once or twice more."""

import os
from typing import Any

import httpx

SEARCH_URL = os.environ.get("SEARCH_URL", "http://127.0.0.1:8002")
TRIES = 3


async def find(client: httpx.AsyncClient, text: str, limit: int) -> dict[str, Any]:
    for number in range(TRIES):
        answer = await client.get(f"{SEARCH_URL}/search", params={"q": text, "limit": limit})
        answer.raise_for_status()
        found: dict[str, Any] = answer.json()
        if not found["degraded"] or number == TRIES - 1:
            break
    return found
