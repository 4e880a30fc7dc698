"""Memory beside the ring over many requests: KiB that a process grows by, bare and at each level.

python benchmarks/native_memory.py [--requests 100000]

Each request makes a span, calls, lines, generators, tasks, an exception now and then, and code that is dropped again.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
from collections.abc import Iterator
from pathlib import Path

from aftertrace import _native

NAME = str(Path(__file__).resolve())
BARE = -1
WARM = 5_000  # requests before the first look


def resident() -> int:
    """KiB, the ring's pages included: they are touched while it warms up."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4


class Basket:
    """What a request works on."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.lines: list[tuple[str, int]] = []

    def add(self, name: str, *, count: int = 1) -> int:
        self.lines.append((name, count))
        return len(self.lines)

    def priced(self) -> Iterator[tuple[str, int]]:
        for name, count in self.lines:
            yield name, count * 2


async def part(number: int) -> int:
    await asyncio.sleep(0)
    return number


def check(number: int) -> int:
    if number % 7 == 0:
        raise LookupError(number)
    return number


async def request(number: int) -> None:
    span = _native.Span(f"request {number}", 2, None, {"number": number})
    token = _native.attach(span)
    try:
        basket = Basket(number)
        for i in range(3):
            basket.add(f"item {i}", count=number)
        dropped = basket.priced()
        next(dropped)
        list(basket.priced())
        await asyncio.gather(part(number), part(number + 1))
        space: dict[str, object] = {}
        exec(compile(f"def made(a):\n    b = [a]\n    return b\nmade({number})", NAME, "exec"), space)
        check(number)
    except LookupError as error:
        span.record_exception(error)
    finally:
        _native.detach(token)
        span.end()


async def requests(count: int) -> None:
    for number in range(count):
        await request(number)


def grown(level: int, count: int) -> int:
    """KiB, of this process."""
    if level != BARE:
        _native.start(level, ring_bytes=1 << 18, defs_bytes=1 << 18, roots=[f"{Path(NAME).parent}/"], libraries=[])
        for function in (Basket.__init__, Basket.add, Basket.priced, part, check, request):
            assert _native.arm(function.__code__)
    asyncio.run(requests(WARM))
    before = resident()
    asyncio.run(requests(count))
    return resident() - before


def main() -> None:
    """Prints a line per level, each of a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=100_000)
    count: int = parser.parse_args().requests
    for name, level in (("bare", BARE), ("spans", 0), ("calls", 1), ("lines", 2)):
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            print(f"{name:6} {pool.apply(grown, (level, count)):6} KiB in {count} requests")


if __name__ == "__main__":
    main()
