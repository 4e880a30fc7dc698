"""People who go to the theatre."""

import os
import random

from driver import Answer, Outcome, main, send

TICKETS = os.environ["TICKETS_URL"]
VOUCHERS = ["", "", "", "SPRING", "STUDENT", "WINTER"]


def order(number: int, card: str, chance: random.Random) -> Answer:
    wish = {"order": f"T{number:05}", "card": card, "row": chance.randint(1, 20), "seats": chance.randint(1, 4)}
    return send("POST", f"{TICKETS}/orders", {**wish, "voucher": chance.choice(VOUCHERS)})


def healthy(count: int) -> list[Answer]:
    chance = random.Random(2)
    return [order(number, f"4{chance.randrange(10**6):06}", chance) for number in range(count)]


def failing() -> Outcome:
    return Outcome([order(90001, "9200417", random.Random(3))])


if __name__ == "__main__":
    main(healthy, failing)
