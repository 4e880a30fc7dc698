"""Customers of the print shop."""

import os
import random
from typing import Any

from driver import Answer, Outcome, main, send

SHOP = os.environ["SHOP_URL"]
TITLES = ["Summer fair", "Jürgen's garage", "A concert in the old town hall", "Flat to let", "Ground floor"]


def order(title: str, preset: str, laminate: bool, **otherwise: Any) -> Answer:
    wish = {"title": title, "preset": preset, "laminate": laminate, "otherwise": otherwise}
    return send("POST", f"{SHOP}/orders", wish)


def healthy(count: int) -> list[Answer]:
    """All say how many; some want another size."""
    chance = random.Random(21)
    sent = []
    for number in range(count):
        otherwise = {"size": chance.choice(["A3", "A4"])} if number % 6 == 4 else {}
        preset, laminate = chance.choice(["poster", "flyer", "plan"]), chance.random() < 0.5
        sent.append(order(chance.choice(TITLES), preset, laminate, copies=chance.randint(1, 300), **otherwise))
    return sent


def failing() -> Outcome:
    around = [order("Gallery night", "poster", False, copies=20, paper="glossy")]
    return Outcome([order("Summer fair", "poster", True, copies=12)], around)


if __name__ == "__main__":
    main(healthy, failing)
