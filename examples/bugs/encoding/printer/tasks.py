"""The queue, and what the printer does with it."""

import logging
import os
from pathlib import Path

from huey import SqliteHuey

from printer import paper, reading

DATA = Path(os.environ.get("DATA_DIR", "data"))
DATA.mkdir(parents=True, exist_ok=True)
queue = SqliteHuey("labels", filename=str(DATA / "queue.sqlite"))
log = logging.getLogger(__name__)


@queue.task()
def print_label(frame: bytes) -> int:
    lines = reading.lines(frame)
    paper.put(DATA / "paper.txt", lines)
    log.info("printed %d lines", len(lines))
    return len(lines)
