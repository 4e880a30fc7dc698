"""From which shelf a region is served."""

SHELVES = {
    "DE-W1": "W1",
    "FR-W2": "W2",
    "NL-N1": "N1",
    "BE-N2": "N2",
    "DK-N3": "N3",
    "PL-E1": "E1",
    "CZ-E2": "E2",
}


def shelf_for(region: str) -> str:
    shelf = SHELVES[region]
    return shelf
