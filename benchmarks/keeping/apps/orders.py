"""The second service (Flask, threads): reserves the goods, and hands the parcel over to the worker."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Any

import requests
from benchmarks.keeping.apps.tasks import ship
from benchmarks.keeping.edges import SHELVES
from flask import Flask, request

app = Flask("orders")
_own = threading.local()


def session() -> requests.Session:
    if not hasattr(_own, "session"):
        _own.session = requests.Session()
        _own.session.trust_env = False
    found: requests.Session = _own.session
    return found


def summed(lines: list[dict[str, int]]) -> int:
    total = 0
    for line in lines:
        total += line["cents"]
    return total


def orderer(shelf: str) -> Callable[[], dict[str, Any]]:
    def order() -> dict[str, Any]:
        number, edge = int(request.args["number"]), request.args.get("edge", "")
        total = summed(request.get_json())
        words: dict[str, str | int] = {"number": number, "edge": edge}
        answer = session().post(f"{os.environ['STOCK']}/stock/{shelf}", params=words, timeout=30)
        answer.raise_for_status()
        ship.delay(number, edge)
        return {"number": number, "total": total, "left": answer.json()["left"]}

    return order


@app.get("/healthz")
def healthz() -> str:
    return "ok"


for name in SHELVES:
    app.post(f"/orders/{name}", endpoint=name)(orderer(name))
