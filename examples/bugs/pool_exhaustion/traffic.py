"""A warehouse's counter: articles are looked up all day, labels are printed now and then."""

import os
import random
from functools import partial

from driver import Answer, Outcome, main, send, together

COUNTER = os.environ["COUNTER_URL"]
ARTICLES = [f"AR-{number:03}" for number in range(40)]
PRINTING = 3  # at once, by the colleagues


def look_up(article: str) -> Answer:
    return send("GET", f"{COUNTER}/articles/{article}")


def print_labels(shelf: str, copies: int) -> Answer:
    return send("POST", f"{COUNTER}/labels", {"shelf": shelf, "copies": copies})


def healthy(count: int) -> list[Answer]:
    """Never two prints at once."""
    chance = random.Random(3)
    return [
        print_labels(f"S{chance.randint(1, 4)}", chance.randint(1, 2)) if number % 12 == 7
        else look_up(chance.choice(ARTICLES))
        for number in range(count)
    ]  # fmt: skip


def failing() -> Outcome:
    prints = [partial(print_labels, f"S{number + 1}", 2) for number in range(PRINTING)]
    *around, looked_up = together([*prints, partial(look_up, "AR-017")], apart=0.08)
    return Outcome([looked_up], around)


if __name__ == "__main__":
    main(healthy, failing)
