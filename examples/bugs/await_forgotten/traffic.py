"""People who pay."""

import os
import random

from driver import Answer, Outcome, main, send

WALLET = os.environ["WALLET_URL"]
SHOPS = ["RWE MKT 0017", "SHELL 4410", "BÄCKER 12", "kiosk am ring", "bookshop"]


def pay(account: str, shop: str, cents: int) -> Answer:
    return send("POST", f"{WALLET}/payments", {"account": account, "shop": shop, "cents": cents})


def healthy(count: int) -> list[Answer]:
    """Now and then something big, but nothing that is not allowed."""
    chance = random.Random(12)
    sent = []
    for number in range(count):
        cents = chance.randint(5000, 7900) if number % 5 == 2 else chance.randint(90, 4900)
        sent.append(pay(f"A-{chance.randrange(12):02}", chance.choice(SHOPS), cents))
    return sent


def failing() -> Outcome:
    return Outcome([pay("A-07", "bookshop", 9350)])


if __name__ == "__main__":
    main(healthy, failing)
