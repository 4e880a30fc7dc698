"""Stars from reviews; a page is good without them."""

import logging
import os

import requests

log = logging.getLogger(__name__)
REVIEWS_URL = os.environ.get("REVIEWS_URL", "http://127.0.0.1:8003")
PATIENCE_SECONDS = 1.5


def average(number: int) -> float | None:
    try:
        answer = requests.get(f"{REVIEWS_URL}/articles/{number}", timeout=PATIENCE_SECONDS)
        answer.raise_for_status()
    except (requests.ConnectionError, requests.HTTPError):  # bug
        log.exception("no stars for %d", number)
        return None
    return float(answer.json()["average"])


def shown(average: float | None) -> str:
    return "" if average is None else "*" * round(average)
