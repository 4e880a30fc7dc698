"""Customers, and agents who order for them."""

import os
import random
import zlib

from driver import Answer, Outcome, main, send

ORDERS = os.environ["ORDERS_URL"]
STREETS = ["Mill Lane", "Station Road", "High Street", "The Green"]
ARTICLES = ["kettle", "toaster", "lamp", "fan"]
GIFTS = ["", "", "birthday", "thanks", "easter"]
AGENT = "agent-anne"


def new(user: str) -> bool:
    """Whether a user has the new labels: 40 % of them do."""
    return zlib.crc32(f"split-street/{user}".encode()) % 100 < 40


def order(customer: str, placed_by: str, chance: random.Random) -> Answer:
    address = f"{chance.choice(STREETS)} {chance.randint(1, 120)}, {chance.choice(['Leeds', 'York'])}"
    body = {"customer": customer, "placed_by": placed_by, "address": address, "gift": chance.choice(GIFTS)}
    return send("POST", f"{ORDERS}/orders", {**body, "article": chance.choice(ARTICLES)})


def healthy(count: int) -> list[Answer]:
    """Agents only order for people who have the labels that they have themselves."""
    chance = random.Random(17)
    sent = []
    for number in range(count):
        customer = f"c{chance.randrange(10**4):04}"
        by_agent = number % 5 == 1 and new(customer) == new(AGENT)
        sent.append(order(customer, AGENT if by_agent else customer, chance))
    return sent


def failing() -> Outcome:
    chance = random.Random(18)
    customer = next(one for one in (f"c{number:04}" for number in range(100)) if new(one) and not new(AGENT))
    return Outcome([order(customer, AGENT, chance)])


if __name__ == "__main__":
    main(healthy, failing)
