"""Which parcel goes into which van."""

from dispatch.schemas import Parcel

CAPACITY = 8  # parcels in a van
HEAVY_GRAMS = 5000


def loads(parcels: list[Parcel]) -> list[list[Parcel]]:
    """Heavy ones first: they lie at the bottom."""
    ordered = sorted(parcels, key=lambda parcel: (parcel.grams < HEAVY_GRAMS, parcel.number))
    vans = vans_needed(len(ordered))
    return [ordered[van * CAPACITY : (van + 1) * CAPACITY] for van in range(vans)]


def vans_needed(count: int) -> int:
    vans = count // CAPACITY + 1  # bug
    return vans
