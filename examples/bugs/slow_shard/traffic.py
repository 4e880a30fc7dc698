"""People who look at profiles."""

import os
import random
import zlib

from driver import Answer, Outcome, main, send

PROFILES = os.environ["PROFILES_URL"]
SHARDS, SLOW = 4, 2
HANDLES = [f"user{number}" for number in range(400)]


def look(handle: str) -> Answer:
    return send("GET", f"{PROFILES}/profiles/{handle}")


def shard(handle: str) -> int:
    return zlib.crc32(handle.encode()) % SHARDS


def healthy(count: int) -> list[Answer]:
    chance = random.Random(21)
    return [look(chance.choice([one for one in HANDLES if shard(one) != SLOW])) for _ in range(count)]


def failing() -> Outcome:
    return Outcome([look(next(one for one in HANDLES if shard(one) == SLOW))])


if __name__ == "__main__":
    main(healthy, failing)
