"""Patients who book an hour of a doctor's day (08:00 to 17:00 UTC)."""

import os
import random

from driver import Answer, Outcome, main, send

BOOKING = os.environ["BOOKING_URL"]
DOCTORS = ["adler", "brandt", "cohen"]


def book(patient: str, doctor: str, start: str) -> Answer:
    return send("POST", f"{BOOKING}/appointments", {"patient": patient, "doctor": doctor, "start": start})


def healthy(count: int) -> list[Answer]:
    """From London in March, and from a phone whose offset is written as Z."""
    chance = random.Random(8)
    sent = []
    for number in range(count):
        day, hour = chance.randint(2, 27), chance.randint(8, 16)
        zone = "Z" if number % 4 == 0 else "+00:00"
        start = f"2026-03-{day:02}T{hour:02}:{chance.choice(['00', '30'])}:00{zone}"
        sent.append(book(f"p{number}", chance.choice(DOCTORS), start))
    return sent


def failing() -> Outcome:
    """From Tokyo: 10:30 UTC."""
    return Outcome([book("tanaka", "cohen", "2026-03-05T19:30:00+09:00")])


if __name__ == "__main__":
    main(healthy, failing)
