"""Tells the auditors before money moves."""

import os

import requests

AUDIT_URL = os.environ.get("AUDIT_URL", "http://127.0.0.1:8003")


def tell(account: str, cents: int, text: str) -> None:
    body = {"account": account, "cents": cents, "text": text}
    requests.post(f"{AUDIT_URL}/entries", json=body, timeout=10).raise_for_status()
