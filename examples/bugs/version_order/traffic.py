"""Heating controllers."""

import os
import random

from driver import Answer, Outcome, main, send

DEVICES = os.environ["DEVICES_URL"]
INSTALLED = {"H1": ["1.0.0", "1.1.0", "2.0.0"], "H2": ["1.4.0", "1.6.0"], "H3": ["0.9.0", "0.9.3"]}


def check_in(serial: str, model: str, version: str, degrees: float) -> Answer:
    body = {"serial": serial, "model": model, "version": version, "degrees": degrees}
    return send("POST", f"{DEVICES}/checkins", body)


def healthy(count: int) -> list[Answer]:
    chance = random.Random(10)
    sent = []
    for _ in range(count):
        model = chance.choice(list(INSTALLED))
        degrees = round(chance.uniform(4, 24), 1)
        sent.append(check_in(f"{chance.randrange(10**6):06}", model, chance.choice(INSTALLED[model]), degrees))
    return sent


def failing() -> Outcome:
    return Outcome([check_in("700123", "P8", "1.9.2", 19.5)])


if __name__ == "__main__":
    main(healthy, failing)
