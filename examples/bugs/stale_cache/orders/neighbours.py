"""The services behind orders."""

import os

import httpx

PRICING_URL = os.environ.get("PRICING_URL", "http://127.0.0.1:8002")
LEDGER_URL = os.environ.get("LEDGER_URL", "http://127.0.0.1:8003")
client = httpx.Client(timeout=10)


def price(sku: str) -> int:
    answer = client.get(f"{PRICING_URL}/prices/{sku}")
    answer.raise_for_status()
    return answer.json()["cents"]


def book(sku: str, quantity: int, cents: int) -> str:
    line = {"sku": sku, "quantity": quantity, "unit_cents": cents}
    answer = client.post(f"{LEDGER_URL}/bookings", json=line)
    answer.raise_for_status()
    return answer.json()["booking"]
