"""All titles, and which words are in them."""

TITLES = [
    "The Winter Garden", "Salt and Stone", "Night Letters", "A River in Winter", "Stone by Stone",
    "Letters from a Harbour", "Salt", "The Harbour at Night", "River of Salt", "Gardens of Stone",
    "Winter Letters", "The Night Garden", "Harbour Lights", "Stone River", "Letters to the River",
]  # fmt: skip


def find(words: list[str], limit: int) -> list[str]:
    ranked = [(sum(word in title.lower() for word in words), title) for title in TITLES]
    return [title for score, title in sorted(ranked, reverse=True) if score][:limit]
