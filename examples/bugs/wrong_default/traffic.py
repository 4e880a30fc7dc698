"""Tenants who subscribe."""

import os
import random

from driver import Answer, Outcome, main, send

SUBSCRIPTIONS = os.environ["SUBSCRIPTIONS_URL"]
TENANTS = ["acme", "borealis", "cobalt", "dune", "ember"]


def subscribe(tenant: str, seats: int, voucher: str = "") -> Answer:
    body = {"tenant": tenant, "seats": seats, "voucher": voucher}
    return send("POST", f"{SUBSCRIPTIONS}/subscriptions", body)


def healthy(count: int) -> list[Answer]:
    chance = random.Random(11)
    return [
        subscribe(chance.choice(TENANTS), chance.randint(1, 40), chance.choice(["", "", "HELLO", "EXPIRED"]))
        for _ in range(count)
    ]


def failing() -> Outcome:
    return Outcome([subscribe("fjord", 250)])


if __name__ == "__main__":
    main(healthy, failing)
