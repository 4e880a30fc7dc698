"""The services behind this one."""

import os
from typing import Any

import httpx

TENANTS_URL = os.environ.get("TENANTS_URL", "http://127.0.0.1:8002")
BILLING_URL = os.environ.get("BILLING_URL", "http://127.0.0.1:8003")


async def tenant(client: httpx.AsyncClient, name: str) -> dict[str, Any]:
    answer = await client.get(f"{TENANTS_URL}/tenants/{name}")
    answer.raise_for_status()
    found: dict[str, Any] = answer.json()
    return found


async def first_invoice(client: httpx.AsyncClient, plan: str, seats: int, trial: int, percent: int) -> str:
    body = {"plan": plan, "seats": seats, "trial": trial, "percent_off": percent}
    answer = await client.post(f"{BILLING_URL}/invoices", json=body)
    answer.raise_for_status()
    return str(answer.json()["invoice"])
