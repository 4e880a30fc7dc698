"""People who send parcels."""

import os
import random

from driver import Answer, Outcome, main, send

DESK = os.environ["DESK_URL"]
NAMES = ["Anna Berg", "Jan de Vries", "Lea Martin", "Tom Hill", "Eva Novak"]
STREETS = ["Mill Road", "Rue Haute", "Hauptplatz", "Lange Gasse"]
CITIES = ["Utrecht", "Lyon", "Graz", "Leeds", "Brno"]


def post(name: str, street: str, city: str, grams: int) -> Answer:
    return send("POST", f"{DESK}/labels", {"name": name, "street": street, "city": city, "grams": grams})


def healthy(count: int) -> list[Answer]:
    chance = random.Random(1)
    return [
        post(chance.choice(NAMES), f"{chance.choice(STREETS)} {chance.randint(1, 99)}", chance.choice(CITIES),
             chance.choice([200, 750, 1800, 12000]))
        for _ in range(count)
    ]  # fmt: skip


def failing() -> Outcome:
    return Outcome([post("Jürgen Größer", "Weststr. 9", "Fürth", 750)])


if __name__ == "__main__":
    main(healthy, failing)
