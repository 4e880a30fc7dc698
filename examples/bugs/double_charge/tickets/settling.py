"""Has the card charged, and looks whether the bank's figures are ours."""

import os

import httpx

PAYMENTS_URL = os.environ.get("PAYMENTS_URL", "http://127.0.0.1:8002")
BANK_URL = os.environ.get("BANK_URL", "http://127.0.0.1:8003")
client = httpx.Client(timeout=18)


class WrongSumError(Exception):
    """The bank took another sum than the tickets cost."""


def pay(order: str, card: str, cents: int) -> None:
    answer = client.post(f"{PAYMENTS_URL}/payments", json={"order": order, "card": card, "cents": cents})
    answer.raise_for_status()


def check(order: str, cents: int) -> None:
    answer = client.get(f"{BANK_URL}/orders/{order}")
    answer.raise_for_status()
    charged = answer.json()["charged"]
    if charged != cents:
        raise WrongSumError(f"{order} costs {cents}, charged {charged}")
