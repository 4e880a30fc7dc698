"""Profiles of people, as pages show them."""

import logging
import os

import httpx
from fastapi import FastAPI, HTTPException

from profiles import badges

logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
logging.getLogger("httpx").setLevel(logging.WARNING)
STORE_URL = os.environ.get("STORE_URL", "http://127.0.0.1:8002")
app = FastAPI(title="profiles")
client = httpx.Client(timeout=10)


@app.get("/healthz")
def healthz() -> dict[str, str]:
    return {"status": "ok"}


@app.get("/profiles/{handle}")
def profile(handle: str) -> dict[str, object]:
    answer = client.get(f"{STORE_URL}/people/{handle}")
    if answer.status_code == 404:
        raise HTTPException(404, f"nobody is called {handle}")
    answer.raise_for_status()
    person = answer.json()
    return {"handle": handle, "seen": person["seen"], "badge": badges.badge(person["posts"])}
