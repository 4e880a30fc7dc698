"""Payments; big ones need leave first."""

import os

import httpx

from wallet import limits

LEDGER_URL = os.environ.get("LEDGER_URL", "http://127.0.0.1:8003")
BIG_CENTS = 5000


class NotAllowedError(Exception):
    """More than the account may spend in a day."""


async def pay(client: httpx.AsyncClient, account: str, shop: str, cents: int) -> int:
    if cents >= BIG_CENTS:
        allowed = limits.allows(client, account, cents)  # bug
        if not allowed:
            raise NotAllowedError(f"{account} may not spend {cents}")
    answer = await client.post(f"{LEDGER_URL}/accounts/{account}/entries", json={"text": shop, "cents": -cents})
    answer.raise_for_status()
    return int(answer.json()["left"])
