"""Where orders finds inventory and keeps its data."""

import os
from pathlib import Path

INVENTORY_URL = os.environ.get("INVENTORY_URL", "http://127.0.0.1:8003")
DATA = Path(os.environ.get("SHOP_DATA", "data"))
DATABASE = DATA / "orders.sqlite"
TIMEOUT_SECONDS = 15.0
