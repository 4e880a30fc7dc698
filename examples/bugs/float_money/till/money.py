"""Money as the ledger wants it."""


def cents(amount: float) -> int:
    return int(amount * 100)  # bug
