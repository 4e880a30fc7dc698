"""When the first invoice is due, and what it says. Sales agreed on the days of each plan's trials."""

import itertools

SEAT_CENTS = {"solo": 900, "team": 1500, "business": 2400, "enterprise": 3900}
FIRST_DUE = {  # plan -> days of trial -> day of the first invoice
    "solo": {14: 15, 30: 31},
    "team": {0: 1, 14: 15, 30: 31},
    "business": {0: 1, 14: 15},
    "enterprise": {0: 30, 30: 60, 60: 90},
}
_numbers = itertools.count(1000)


def due_day(plan: str, trial: int) -> int:
    for days, day in FIRST_DUE[plan].items():
        if days == trial:
            return day
    raise LookupError(f"no first invoice for {plan}")


def amount(plan: str, seats: int, percent_off: int) -> int:
    return SEAT_CENTS[plan] * seats * (100 - percent_off) // 100


def number() -> str:
    return f"R-{next(_numbers)}"
