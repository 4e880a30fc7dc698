"""Guests who pay."""

import os
import random

from driver import Answer, Outcome, main, send

TILL = os.environ["TILL_URL"]
CARD = [("coffee", 2.5), ("cake", 3.75), ("water", 1.25), ("soup", 6.5), ("bread", 0.5), ("juice", 3.0)]


def pay(table: int, items: list[tuple[str, float]], tip: str = "") -> Answer:
    wanted = [{"name": name, "amount": amount} for name, amount in items]
    return send("POST", f"{TILL}/receipts", {"table": table, "items": wanted, "tip": tip})


def healthy(count: int) -> list[Answer]:
    """All on today's card has a price that binary fractions hold exactly."""
    chance = random.Random(12)
    tips = ["", "", "1.00", "0.50", "keep it"]
    return [pay(chance.randint(1, 20), chance.choices(CARD, k=chance.randint(1, 4)), chance.choice(tips))
            for _ in range(count)]  # fmt: skip


def failing() -> Outcome:
    return Outcome([pay(7, [("coffee", 2.5), ("strudel", 4.35), ("coffee", 2.5)])])


if __name__ == "__main__":
    main(healthy, failing)
