"""Which delivery region a country belongs to."""

import json
from pathlib import Path

ZONES: dict[str, str] = json.loads(Path(__file__).with_name("zones.json").read_text())


def region_for(country: str) -> str:
    """The region that the warehouse ships from, like ``DE-W1``."""
    country = country.strip().upper()
    zone = ZONES.get(country, "")  # fault: 1
    region = f"{country}-{zone}"
    return region


def known_countries() -> list[str]:
    return sorted(ZONES)
