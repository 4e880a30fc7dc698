"""Accountants who remind their customers."""

import os
import random

from driver import Answer, Outcome, main, send

PORTAL = os.environ["PORTAL_URL"]
TENANTS = {"north": 1000, "south": 2000, "west": 3000}  # and where their customers' numbers begin
TWICE = 1007  # west brought this number along, north has had it for years


def remind(tenant: str, customer: int) -> Answer:
    return send("POST", f"{PORTAL}/tenants/{tenant}/statements/{customer}")


def healthy(count: int) -> list[Answer]:
    chance = random.Random(8)
    sent = []
    for _ in range(count):
        tenant = chance.choice(list(TENANTS))
        customer = TENANTS[tenant] + chance.randrange(10)
        sent.append(remind(tenant, customer if customer != TWICE else customer + 1))
    return sent


def failing() -> Outcome:
    return Outcome([remind("north", TWICE)])


if __name__ == "__main__":
    main(healthy, failing)
