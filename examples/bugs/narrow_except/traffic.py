"""People who look at furniture."""

import os
import random

from driver import Answer, Outcome, main, send

PAGES = os.environ["PAGES_URL"]


def look_at(number: int) -> Answer:
    return send("GET", f"{PAGES}/articles/{number}")


def healthy(count: int) -> list[Answer]:
    """Also at articles whose reviews cannot be had."""
    chance = random.Random(6)
    numbers = [one for one in range(100, 180) if one != 171]
    return [look_at(chance.choice([113, 127, 151] if at % 9 == 3 else numbers)) for at in range(count)]


def failing() -> Outcome:
    return Outcome([look_at(171)])


if __name__ == "__main__":
    main(healthy, failing)
