"""Edge cases at known trace ids, at a known rate, and what must be had of each."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

DEEPEST = "500-deepest"  # the deepest service raises: three services answer 500
RARE = "handled-rare"  # the deepest handles an exception that is rare on its route; all answer 200
SLOW = "slow"  # far above the route's p99
HANG = "hang"  # open for longer than agents let pass: kept while it is under way
UPSTREAM = "upstream-after"  # the first service fails after all below it answered well
WORKER = "worker-after"  # the worker fails after the request was answered with 200
KINDS = (DEEPEST, UPSTREAM, WORKER, RARE, SLOW, HANG)

SHELVES = ("books", "toys", "tools", "garden")  # each a route of its own
SLOW_S, HANG_S = 1.5, 6.0
AGENT_HANG_S = 3.0  # AFTERTRACE_HANG_S of the agents here

Missing = [type(f"Missing{number}", (LookupError,), {}) for number in range(64)]  # each rare by itself
Overweight = [type(f"Overweight{number}", (ArithmeticError,), {}) for number in range(8)]  # each a group by itself

MARK = bytes.fromhex("ed6eca5e")  # trace ids of edge cases begin with it
SERVICES = ("gateway", "orders", "stock", "worker")
_WITHOUT_WORKER = SERVICES[:3]

# Of a hundred edge cases. Slow ones and rare exceptions must stay rare: more than 1 % of a route are usual.
_SHARES = {DEEPEST: 30, UPSTREAM: 30, WORKER: 28, RARE: 7, SLOW: 3, HANG: 2}


@dataclass(frozen=True, slots=True)
class Edge:
    """``at``: seconds after the load began. ``services``: that take part in it."""

    at: float
    kind: str
    shelf: str
    number: int
    trace: str  # hex

    @property
    def services(self) -> tuple[str, ...]:
        return _WITHOUT_WORKER if self.kind == DEEPEST else SERVICES

    @property
    def path(self) -> str:
        return f"/buy/{self.shelf}?number={self.number}&edge={self.kind}"


def planned(begin: float, end: float, rate: float, seed: int) -> Iterator[Edge]:
    """Evenly spread, kinds in a drawn order, shelves in turns: no group comes so often that it is a storm."""
    chance = random.Random(seed)
    deck: list[str] = []
    turns = dict.fromkeys(KINDS, 0)
    for place in range(max(round((end - begin) * rate), 0)):
        if not deck:
            deck = [kind for kind, share in _SHARES.items() for _ in range(share)]
            chance.shuffle(deck)
        kind = deck.pop()
        number = turns[kind]
        turns[kind] += 1
        shelf = SHELVES[number % len(SHELVES)]
        trace = (MARK + chance.randbytes(12)).hex()
        yield Edge(begin + place / rate, kind, shelf, number, trace)
