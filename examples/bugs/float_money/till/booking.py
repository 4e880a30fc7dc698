"""Receipts in the ledger: each item a debit, the total a credit."""

import os

import urllib3

from till import money
from till.receipts import Prices

LEDGER_URL = os.environ.get("LEDGER_URL", "http://127.0.0.1:8002")
pool = urllib3.PoolManager(maxsize=8, retries=False, timeout=10)


class NotBookedError(RuntimeError):
    """The ledger did not take it."""


def book(table: int, prices: Prices, total: str) -> str:
    debits = [{"account": name, "cents": money.cents(amount)} for name, amount in prices]
    entry = {"reference": f"table-{table}", "debits": debits, "credit": total}
    answer = pool.request("POST", f"{LEDGER_URL}/entries", json=entry)
    if answer.status != 201:
        raise NotBookedError(f"the ledger answered {answer.status}")
    return str(answer.json()["entry"])
