"""Readers of a library who look for books."""

import os
import random
from urllib.parse import urlencode

from driver import Answer, Outcome, main, send

PORTAL = os.environ["PORTAL_URL"]
WORDS = ["river", "winter", "salt", "garden", "harbour", "letters", "stone", "night"]


def look_for(text: str, limit: int = 5) -> Answer:
    return send("GET", f"{PORTAL}/books?{urlencode({'q': text, 'limit': limit})}")


def healthy(count: int) -> list[Answer]:
    chance = random.Random(6)
    return [
        look_for(" ".join(chance.sample(WORDS, chance.randint(1, 2))), chance.choice([3, 5, 10])) for _ in range(count)
    ]


def failing() -> Outcome:
    """An operator that the index does not know."""
    return Outcome([look_for("river NEAR winter")])


if __name__ == "__main__":
    main(healthy, failing)
