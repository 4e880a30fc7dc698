"""The services behind the checkout. Tax runs twice; they are asked in turn."""

import itertools
import os

import requests

REPLICAS = itertools.cycle(
    [os.environ.get("TAX_A_URL", "http://127.0.0.1:8002"), os.environ.get("TAX_B_URL", "http://127.0.0.1:8003")]
)
INVOICES_URL = os.environ.get("INVOICES_URL", "http://127.0.0.1:8004")
session = requests.Session()


class RefusedError(Exception):
    """No invoice."""


def tax(country: str, net: int) -> int:
    replica = next(REPLICAS)
    answer = session.post(f"{replica}/tax", json={"country": country, "net": net}, timeout=10)
    answer.raise_for_status()
    return answer.json()["tax"]


def invoice(country: str, net: int, tax: int) -> str:
    body = {"country": country, "net": net, "tax": tax}
    answer = session.post(f"{INVOICES_URL}/invoices", json=body, timeout=10)
    if not answer.ok:
        raise RefusedError(answer.json()["error"])
    return answer.json()["number"]
