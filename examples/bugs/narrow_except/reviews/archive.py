"""The archive on the old disk: some thousand reviews a second, and none while it is written."""

import random
import time

SECONDS_EACH = 0.0006
POPULAR = {171: 5200}  # articles and their reviews
WRITTEN = {113, 127, 151}  # articles whose reviews are being moved


class LockedError(Exception):
    """The reviews of this article are being written."""


def read(number: int) -> list[int]:
    if number in WRITTEN:
        raise LockedError(f"{number} is being moved")
    chance = random.Random(number)
    stars = [chance.randint(1, 5) for _ in range(POPULAR.get(number, chance.randint(3, 70)))]
    time.sleep(len(stars) * SECONDS_EACH)
    return stars
