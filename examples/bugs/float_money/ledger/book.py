"""Double entry: what goes out of accounts comes in somewhere."""

import itertools
from decimal import Decimal
from typing import Any

_numbers = itertools.count(1)
entries: dict[str, dict[str, Any]] = {}


class UnbalancedError(ArithmeticError):
    """Debits and credit differ."""


def balanced(debit: int, credit: int) -> None:
    if debit != credit:
        raise UnbalancedError(f"debit {debit}, credit {credit}")


def enter(body: dict[str, Any]) -> str:
    debit = sum(one["cents"] for one in body["debits"])
    credit = int(Decimal(body["credit"]) * 100)
    balanced(debit, credit)
    entry = f"E-{next(_numbers):05}"
    entries[entry] = body
    return entry
