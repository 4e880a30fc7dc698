"""Asks what an account may spend."""

import os

import httpx

LIMITS_URL = os.environ.get("LIMITS_URL", "http://127.0.0.1:8002")


async def allows(client: httpx.AsyncClient, account: str, cents: int) -> bool:
    answer = await client.get(f"{LIMITS_URL}/accounts/{account}")
    answer.raise_for_status()
    return cents <= answer.json()["cents_a_day"]
