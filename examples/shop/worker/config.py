"""Where the worker keeps its data and the queue its messages."""

import os
from pathlib import Path

DATA = Path(os.environ.get("SHOP_DATA", "data"))
QUEUE = DATA / "queue.sqlite"
DATABASE = DATA / "worker.sqlite"
OUTBOX = DATA / "outbox"
