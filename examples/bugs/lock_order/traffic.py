"""Classes that pay each other; a correction is a transfer there and one back."""

import os
import random
from functools import partial

from driver import Answer, Outcome, main, send, together

CASHIER = os.environ["CASHIER_URL"]
CLASSES = [f"{year}{letter}" for year in range(5, 9) for letter in "abc"]
TEXTS = ["trip", "fair", "books for the library", "2026"]


def transfer(source: str, target: str, cents: int, text: str) -> Answer:
    body = {"source": source, "target": target, "cents": cents, "text": text}
    return send("POST", f"{CASHIER}/transfers", body)


def healthy(count: int) -> list[Answer]:
    """One at a time, or two at once that go the same way; some large."""
    chance = random.Random(14)
    sent: list[Answer] = []
    while len(sent) < count:
        source, target = chance.sample(CLASSES, 2)
        cents = chance.randint(20_000, 30_000) if len(sent) % 14 == 5 else chance.randint(100, 9000)
        calls = [partial(transfer, source, target, cents, chance.choice(TEXTS))]
        sent += together(calls * (2 if len(sent) % 10 == 3 else 1))
    return sent[:count]


def failing() -> Outcome:
    there = partial(transfer, "7a", "7c", 24_000, "trip")
    back = partial(transfer, "7c", "7a", 24_500, "trip")
    failed, around = together([there, back], apart=0.1)
    return Outcome([failed], [around])


if __name__ == "__main__":
    main(healthy, failing)
