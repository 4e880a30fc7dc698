"""Clubs that write to their members."""

import os
import random

from driver import Answer, Outcome, main, send

NEWSLETTER = os.environ["NEWSLETTER_URL"]
SUBJECTS = ["Summer fair", "New hall", "Fees", "Minutes"]


def write(club: str, subject: str) -> Answer:
    return send("POST", f"{NEWSLETTER}/letters", {"club": club, "subject": subject})


def healthy(count: int) -> list[Answer]:
    chance = random.Random(7)
    return [write(chance.choice(["rowing", "choir", "climbing"]), chance.choice(SUBJECTS)) for _ in range(count)]


def failing() -> Outcome:
    """Four of its members joined at the same moment: somebody had a list."""
    return Outcome([write("chess", "Tournament")])


if __name__ == "__main__":
    main(healthy, failing)
