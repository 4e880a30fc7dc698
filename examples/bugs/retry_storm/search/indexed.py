"""The index, over HTTP. It is busy at times (429, 503): then we wait, each time twice as long."""

import os
import time

import urllib3

INDEX_URL = os.environ.get("INDEX_URL", "http://127.0.0.1:8003")
TRIES = 6
FIRST_WAIT = 0.02  # seconds
pool = urllib3.PoolManager(maxsize=8, retries=False, timeout=10)


def titles(text: str, limit: int) -> list[str] | None:
    """None when the index does not answer."""
    wait = FIRST_WAIT
    for number in range(TRIES):
        answer = pool.request("POST", f"{INDEX_URL}/lookup", json={"text": text, "limit": limit})
        if not should_retry(answer):
            return answer.json()["titles"]
        if number < TRIES - 1:
            time.sleep(wait)
            wait *= 2
    return None


def should_retry(answer: urllib3.BaseHTTPResponse) -> bool:
    return answer.status >= 400  # bug
