"""How many sheets a job takes."""

ON_A_SHEET = {"A1": 1, "A2": 2, "A3": 4, "A4": 8, "A5": 16}


def needed(size: str, copies: int) -> int:
    return -(-copies // ON_A_SHEET[size])
