"""Money from one account to another; nobody else may touch either meanwhile."""

import logging
import random
import threading
import time
from collections import defaultdict

from accounts import auditing

log = logging.getLogger(__name__)
START_CENTS = 1_000_000
PATIENCE_SECONDS = 2.0
_left: dict[str, int] = defaultdict(lambda: START_CENTS)
_locks: dict[str, threading.Lock] = defaultdict(threading.Lock)


def move(source: str, target: str, cents: int, text: str) -> int:
    while not (done := _try(source, target, cents, text)):
        log.warning("%s is busy, once more", target)
        time.sleep(random.uniform(0.2, 0.4))
    return done


def _try(source: str, target: str, cents: int, text: str) -> int | None:
    """What is left at the source; None if the other account stays busy."""
    first, second = _locks[source], _locks[target]  # bug
    with first:
        auditing.tell(source, cents, text)
        if not second.acquire(timeout=PATIENCE_SECONDS):
            return None
        try:
            _left[source] -= cents
            _left[target] += cents
            return _left[source]
        finally:
            second.release()
