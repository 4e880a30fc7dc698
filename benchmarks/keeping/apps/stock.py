"""The third and deepest service (asyncio, plain ASGI): counts what is on the shelves. Most edge cases are made here."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import parse_qs

from benchmarks.keeping.edges import DEEPEST, HANG, HANG_S, RARE, SHELVES, SLOW, SLOW_S, Missing

type Message = MutableMapping[str, Any]
type Send = Callable[[Message], Awaitable[None]]

counts = dict.fromkeys(SHELVES, 1_000_000)


def take(shelf: str, number: int) -> int:
    pieces = 1 + number % 4
    counts[shelf] -= pieces
    return counts[shelf]


def looked_up(shelf: str, number: int) -> int:
    """A place that some numbers lack: that is handled, and rare."""
    place = number % 64
    try:
        raise Missing[number % len(Missing)](shelf)
    except LookupError:
        place = 0
    return place


async def reserve(shelf: str, number: int, edge: str) -> int:
    left = take(shelf, number)
    if edge == RARE:
        left += looked_up(shelf, number)
    elif edge == SLOW:
        await asyncio.sleep(SLOW_S)
    elif edge == HANG:
        await asyncio.sleep(HANG_S)
    elif edge == DEEPEST:
        left = counts[f"{shelf}-{number}"]
    return left


def broken(number: int) -> int:
    """What a storm is made of."""
    shelf = SHELVES[number % len(SHELVES)]
    return counts[f"{shelf}-none"]


async def app(scope: Message, _: Callable[[], Awaitable[Message]], send: Send) -> None:
    if scope["type"] != "http":
        return
    words = {key: value[0] for key, value in parse_qs(scope["query_string"].decode()).items()}
    path, number = scope["path"], int(words.get("number", "0"))
    if path == "/healthz":
        left = 0
    elif path == "/broken":
        left = broken(number)
    else:
        left = await reserve(path.rpartition("/")[2], number, words.get("edge", ""))
    body = json.dumps({"left": left}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
