"""Features that not everybody has yet: so many percent of all users."""

import zlib

PERCENT = {"split-street": 40, "express": 5}


def enabled(flag: str, user: str) -> bool:
    return zlib.crc32(f"{flag}/{user}".encode()) % 100 < PERCENT[flag]
