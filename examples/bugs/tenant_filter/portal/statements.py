"""Asks for the invoices, and for the letter about them."""

import os
from typing import Any

import httpx

PAPERS_URL = os.environ.get("PAPERS_URL", "http://127.0.0.1:8002")
LETTERS_URL = os.environ.get("LETTERS_URL", "http://127.0.0.1:8003")
client = httpx.Client(timeout=15)


def unpaid(tenant: str, customer: int) -> list[dict[str, Any]] | None:
    answer = client.get(f"{PAPERS_URL}/{tenant}/customers/{customer}/unpaid")
    if answer.status_code == 404:
        return None
    answer.raise_for_status()
    return list(answer.json()["invoices"])


def write(tenant: str, customer: int, invoices: list[dict[str, Any]]) -> str:
    lines = [{"invoice": one["number"], "amount": shown(one["cents"]), "due": one["due"]} for one in invoices]
    answer = client.post(f"{LETTERS_URL}/letters", json={"tenant": tenant, "customer": customer, "lines": lines})
    answer.raise_for_status()
    return str(answer.json()["letter"])


def shown(cents: int) -> str:
    return f"{cents // 100}.{cents % 100:02}"
