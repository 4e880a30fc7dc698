"""Where the gateway finds its neighbours and keeps its data."""

import os
from pathlib import Path

ORDERS_URL = os.environ.get("ORDERS_URL", "http://127.0.0.1:8002")
INVENTORY_URL = os.environ.get("INVENTORY_URL", "http://127.0.0.1:8003")
DATA = Path(os.environ.get("SHOP_DATA", "data"))
DATABASE = DATA / "gateway.sqlite"
TIMEOUT_SECONDS = 30.0
