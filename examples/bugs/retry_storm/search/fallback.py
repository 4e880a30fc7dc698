"""Titles by plain words: what the catalogue's printout of this year has."""

PRINTED = [
    "The Winter Garden", "Salt and Stone", "Night Letters", "A River in Winter", "Stone by Stone",
    "Letters from a Harbour", "Salt", "The Harbour at Night",
]  # fmt: skip


def titles(text: str, limit: int) -> list[str]:
    words = [word.lower() for word in text.split() if word.islower()]
    return [title for title in PRINTED if any(word in title.lower() for word in words)][:limit]
