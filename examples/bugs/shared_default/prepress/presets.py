"""What the usual products are printed with."""

from typing import Any

PRESETS: dict[str, dict[str, Any]] = {
    "poster": {"size": "A2", "paper": "matt", "copies": 1, "colour": True},
    "flyer": {"size": "A5", "paper": "recycled", "copies": 100, "colour": True},
    "plan": {"size": "A1", "paper": "matt", "copies": 1, "colour": False},
}


def settings(preset: str, otherwise: dict[str, Any]) -> dict[str, Any]:
    chosen = PRESETS[preset]  # bug
    for name, value in otherwise.items():
        if name in chosen:
            chosen[name] = value
    return chosen
