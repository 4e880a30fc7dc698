"""Customers of a shop that ships to several countries."""

import os
import random

from driver import Answer, Outcome, main, send

CHECKOUT = os.environ["CHECKOUT_URL"]
COUNTRIES = ["DE", "FR", "NL", "BE", "AT"]


def buy(country: str, cents: int, coupon: str = "") -> Answer:
    return send("POST", f"{CHECKOUT}/purchases", {"country": country, "net_cents": cents, "coupon": coupon})


def healthy(count: int) -> list[Answer]:
    chance = random.Random(13)
    return [
        buy(COUNTRIES[number % len(COUNTRIES)], chance.randrange(500, 90_000, 25), chance.choice(["", "", "X9", "TEN"]))
        for number in range(count)
    ]


def failing() -> Outcome:
    """Both replicas are asked in turn: of two purchases one goes wrong."""
    answers = [buy("LU", 2500), buy("LU", 2500)]
    return Outcome([one for one in answers if one.status != 201], [one for one in answers if one.status == 201])


if __name__ == "__main__":
    main(healthy, failing)
