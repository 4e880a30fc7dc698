"""Where inventory keeps its data."""

import os
from pathlib import Path

DATA = Path(os.environ.get("SHOP_DATA", "data"))
DATABASE = DATA / "inventory.sqlite"
LOCKS = DATA / "locks"
SLIPS = DATA / "slips"
LEDGER = DATA / "stocktake.csv"
