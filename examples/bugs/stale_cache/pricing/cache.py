"""Prices in Redis, shared by all of our processes; each entry says when it was written."""

import json
import logging
import os
import time

import redis

log = logging.getLogger(__name__)
TTL_MS = 400
EVICT_SECONDS = 3600  # Redis may forget what nobody asks for
store = redis.Redis.from_url(os.environ.get("REDIS_URL", "redis://127.0.0.1:6379/0"))


def read(sku: str) -> int | None:
    """The cached price; None when there is none, or when it must be read anew."""
    raw = store.get(f"price:{sku}")
    if raw is None:
        return None
    entry = json.loads(raw)
    if time.time() - entry["at"] > TTL_MS:  # bug
        return None
    return entry["cents"]


def write(sku: str, cents: int) -> None:
    store.set(f"price:{sku}", json.dumps({"cents": cents, "at": time.time()}), ex=EVICT_SECONDS)
