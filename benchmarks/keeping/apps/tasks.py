"""The worker (Celery on Redis): packs parcels after the request has been answered."""

from __future__ import annotations

import os

from benchmarks.keeping.edges import WORKER, Overweight
from celery import Celery

app = Celery("tasks", broker=os.environ["REDIS"])
app.conf.update(task_ignore_result=True, broker_connection_retry_on_startup=True, worker_hijack_root_logger=False)


def weighed(number: int) -> int:
    grams = 0
    for piece in range(1 + number % 4):
        grams += 120 + piece
    return grams


@app.task  # type: ignore[untyped-decorator]  # Celery has no types
def ship(number: int, edge: str) -> int:
    grams = weighed(number)
    if edge == WORKER:
        raise Overweight[number % len(Overweight)](f"parcel {number} weighs {grams}")
    return grams
