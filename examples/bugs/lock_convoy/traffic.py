"""Machines that report how they are, now and then with a long protocol."""

import os
import random
from functools import partial

from driver import Answer, Outcome, main, send, together

INTAKE = os.environ["INTAKE_URL"]
STATES = ["ok", "ok", "ok", "warm", "door open"]
AT_ONCE = 14
LONG = 2500  # lines


def report(machine: str, state: str, lines: int, seed: int) -> Answer:
    chance = random.Random(seed)
    protocol = "\n".join(f"{machine} {n} {chance.random():.12f} {chance.choice(STATES)}" for n in range(lines))
    return send("POST", f"{INTAKE}/reports", {"machine": machine, "state": state, "protocol": protocol})


def healthy(count: int) -> list[Answer]:
    """One after the other; every twelfth has a long protocol."""
    chance = random.Random(9)
    return [
        report(f"M{chance.randint(1, 30)}", chance.choice(STATES), LONG if number % 12 == 5 else 3, number)
        for number in range(count)
    ]


def failing() -> Outcome:
    """A power cut: all report at once, each with its protocol. The last of them waits longest."""
    calls = [partial(report, f"M{number}", "restarted", LONG, 100 + number) for number in range(AT_ONCE)]
    answers = sorted(together(calls), key=lambda answer: answer.ms)
    return Outcome(answers[-1:], answers[:-1])


if __name__ == "__main__":
    main(healthy, failing)
