"""Labels for all articles of a shelf."""

import os

import requests

from stock.database import pool

PRINTER_URL = os.environ.get("PRINTER_URL", "http://127.0.0.1:8003")


def print_shelf(shelf: str, copies: int) -> int:
    printed = 0
    with pool.connection() as connection:  # bug
        rows = connection.execute("SELECT number, pieces FROM articles WHERE shelf = ?", (shelf,)).fetchall()
        labels = [f"{row['number']} / {row['pieces']}" for row in rows]
        for _ in range(copies):
            printed += send(labels)
    return printed


def send(labels: list[str]) -> int:
    answer = requests.post(f"{PRINTER_URL}/jobs", json={"labels": labels}, timeout=10)
    answer.raise_for_status()
    return int(answer.json()["printed"])
