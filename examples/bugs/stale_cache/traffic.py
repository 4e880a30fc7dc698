"""Customers who order, and an office that changes a price now and then."""

import os
import random
import time

from driver import Answer, Outcome, main, send

ORDERS, PRICING = os.environ["ORDERS_URL"], os.environ["PRICING_URL"]
SKUS = ["TEA-1", "TEA-2", "CUP-4", "POT-9"]
TTL_SECONDS = 0.4  # pricing's
NEW_GOODS = 20


def order(sku: str, quantity: int, note: str = "") -> Answer:
    return send("POST", f"{ORDERS}/orders", {"sku": sku, "quantity": quantity, "note": note})


def reprice(sku: str, cents: int) -> Answer:
    return send("PUT", f"{PRICING}/prices/{sku}", {"cents": cents})


def healthy(count: int) -> list[Answer]:
    chance = random.Random(2)
    sent = []
    for number in range(count):
        if number % 10 == 3:  # new goods get a price before anybody asks for it
            sent.append(reprice(f"NEW-{number % NEW_GOODS}-{os.getpid()}", chance.randrange(300, 900)))
        sent.append(
            order(chance.choice(SKUS), chance.randint(1, 5), chance.choice(["", "gift", "call first", "no stairs"]))
        )
    return sent


def failing() -> Outcome:
    """The price is asked for, changed, and asked for again when it must be read anew."""
    around = [order("TEA-2", 1), reprice("TEA-2", 2150)]
    time.sleep(TTL_SECONDS * 1.5)
    return Outcome([order("TEA-2", 3)], around)


if __name__ == "__main__":
    main(healthy, failing)
