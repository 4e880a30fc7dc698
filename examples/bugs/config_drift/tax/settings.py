"""What the configuration file says."""

import tomllib
from pathlib import Path

rates: dict[str, int] = {}
rounding: dict[str, str] = {}


def load(path: Path) -> None:
    found = tomllib.loads(path.read_text())
    rates.update(found["rates"])
    rounding.update(found["rounding"])
