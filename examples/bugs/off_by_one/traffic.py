"""Depots that plan their day."""

import os
import random

from driver import Answer, Outcome, main, send

DISPATCH = os.environ["DISPATCH_URL"]
STREETS = ["Hafenstr.", "Lindenallee", "Am Markt", "Ringweg", "Bahnhofstr."]
EXACT = 16  # parcels that fill two vans


def plan(depot: str, count: int, chance: random.Random) -> Answer:
    parcels = [
        {
            "number": f"P{chance.randrange(10**6):06}",
            "street": f"{chance.choice(STREETS)} {chance.randint(1, 90)}",
            "grams": chance.randint(80, 9000),
            "x": chance.randint(-40, 40),
            "y": chance.randint(-40, 40),
        }
        for _ in range(count)
    ]
    return send("POST", f"{DISPATCH}/plans", {"depot": depot, "parcels": parcels})


def healthy(count: int) -> list[Answer]:
    chance = random.Random(4)
    sizes = [3, 7, 11, 13, 18, 5, 21, 9]
    return [plan(f"D{number % 4}", sizes[number % len(sizes)], chance) for number in range(count)]


def failing() -> Outcome:
    return Outcome([plan("D2", EXACT, random.Random(5))])


if __name__ == "__main__":
    main(healthy, failing)
