"""A CPU-bound function behind a route: recursion and nested loops, where each call and line does next to nothing."""

from __future__ import annotations

from fastapi import FastAPI

from .tick import tick

app = FastAPI()


def fibonacci(n: int) -> int:
    if n < 2:
        return n
    return fibonacci(n - 1) + fibonacci(n - 2)


def collatz(limit: int) -> int:
    longest = 0
    for start in range(1, limit):
        length, n = 1, start
        while n != 1:
            n = 3 * n + 1 if n % 2 else n // 2
            length += 1
        longest = max(longest, length)
    return longest


@app.get("/")
async def compute() -> dict[str, int]:
    number = tick()
    if number < 0:
        raise ValueError("never")  # breakpoint
    return {"fibonacci": fibonacci(15), "collatz": collatz(200)}
