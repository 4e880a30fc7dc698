"""Takes frames apart as the firmware does."""

DIGITS = 4


def lines(frame: bytes) -> list[str]:
    found, at = [], 0
    while at < len(frame):
        length = int(frame[at : at + DIGITS])
        at += DIGITS
        found.append(frame[at : at + length].decode())
        at += length
    return found
