"""Films that hold on papers."""

FILMS = {"matt": "F20", "recycled": "F35"}  # nothing holds on glossy paper
WIDE = {"A1", "A2"}


def film(paper: str, size: str) -> str:
    film = FILMS[paper]
    return f"{film}-wide" if size in WIDE else film
