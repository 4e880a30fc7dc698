"""Members of a club, page by page."""

import os
from typing import Any

import httpx

MEMBERS_URL = os.environ.get("MEMBERS_URL", "http://127.0.0.1:8002")
PAGE = 10
MOST_PAGES = 100
client = httpx.Client(timeout=10)


def count(club: str) -> int:
    answer = client.get(f"{MEMBERS_URL}/clubs/{club}")
    answer.raise_for_status()
    return int(answer.json()["members"])


def everyone(club: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    after = 0
    for _ in range(MOST_PAGES):
        answer = client.get(f"{MEMBERS_URL}/clubs/{club}/members", params={"after": after, "limit": PAGE})
        answer.raise_for_status()
        page = answer.json()
        found += page["members"]
        if page["next"] is None:
            break
        after = page["next"]
    return found
