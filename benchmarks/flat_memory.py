"""Memory of a recorded process over millions of requests: it must not grow.

    python benchmarks/flat_memory.py [--requests 10000000] [--level lines] [--bare] [--json]

A process under ``aftertrace run`` serves requests of its own: spans with attributes and events, calls, lines, values of
many kinds, exceptions raised and handled, tasks, generators that are dropped half-way; now and then a thread, a class,
and code that is compiled, run and dropped. Its memory is looked at forty times: what it holds itself, and what it has
touched of the ring, which is of one size from the start (its definitions fill more slowly than its records). Prints KiB
per million requests (least squares over what follows the first tenth). No agent reads along: its memory has its own
bound.
"""

from __future__ import annotations

import argparse
import asyncio
import contextvars
import datetime
import decimal
import gc
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

LOOKS = 40
EVERY_CODE, EVERY_CLASS, EVERY_THREAD, EVERY_ERROR = 50, 200, 1000, 7
_current: contextvars.ContextVar[int] = contextvars.ContextVar("current", default=0)


# -- the program that is recorded


class Basket:
    """What a request works on."""

    __slots__ = ("__dict__", "lines", "number")

    def __init__(self, number: int) -> None:
        self.number = number
        self.lines: list[tuple[str, int]] = []
        self.note: dict[str, Any] = {
            "at": datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC),
            "sum": decimal.Decimal(number),
        }

    def add(self, name: str, *, count: int = 1) -> int:
        self.lines.append((name, count))
        return len(self.lines)

    def priced(self) -> Iterator[tuple[str, int]]:
        for name, count in self.lines:
            yield name, count * 2


async def part(number: int) -> int:
    await asyncio.sleep(0)
    _current.set(number)
    return number


def check(number: int, text: str) -> int:
    """Raises LookupError now and then."""
    found = {text: number, "list": [number] * 40, "bytes": text.encode(), "big": 1 << (number % 600)}
    if number % EVERY_ERROR == 0:
        raise LookupError(found)
    return len(found)


def made_anew(number: int) -> int:
    """Code that is compiled, run and dropped."""
    space: dict[str, Any] = {}
    name = f"made_{number % 5000}"
    exec(compile(f"def {name}(a):\n    b = [a]\n    return b\nout = {name}({number})", __file__, "exec"), space)
    return len(space["out"])


def class_anew(number: int) -> int:
    made = type(f"Made{number % 5000}", (Basket,), {"extra": lambda self: self.number})
    return int(made(number).extra())


async def request(number: int) -> int:
    """One of all that is asked for."""
    basket = Basket(number)
    for i in range(2):
        basket.add(f"item {i}", count=number)
    dropped = basket.priced()
    next(dropped)
    total = sum(count for _, count in basket.priced())
    if number % 4 == 0:
        total += sum(await asyncio.gather(part(number), part(number + 1)))
    if number % EVERY_CODE == 0:
        total += made_anew(number)
    if number % EVERY_CLASS == 0:
        total += class_anew(number)
    if number % EVERY_THREAD == 0:
        thread = threading.Thread(target=basket.add, args=("thread",))
        thread.start()
        thread.join()
    return total + check(number, str(uuid.UUID(int=number)))


async def traced(number: int) -> None:
    from opentelemetry import trace

    tracer = trace.get_tracer("flat")
    with tracer.start_as_current_span(f"GET /{number % 100}", attributes={"number": number, "text": "x" * 50}) as span:
        try:
            span.set_attribute("total", await request(number))
        except LookupError as error:
            span.record_exception(error)


def look(number: int) -> dict[str, int]:
    """This process after so many requests: KiB of anonymous memory and of the ring; records in the ring so far."""
    from aftertrace import _native

    fields = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    anonymous, ring = (int(fields[name].split()[0]) for name in ("RssAnon", "RssShmem"))
    return {"requests": number, "anonymous_kib": anonymous, "ring_kib": ring, "records": _native.status()["records"]}


async def serve(count: int) -> None:
    """Prints a line of JSON at each look."""
    step = max(count // LOOKS, 1)
    for number in range(1, count + 1):
        await traced(number)
        if number % step == 0:
            gc.collect()
            print(json.dumps(look(number)), flush=True)


# -- and who looks at it


def slope(looks: list[dict[str, int]]) -> float:
    """KiB of its own memory per million requests, least squares; the first tenth is left out: caches fill."""
    after = [look for look in looks if look["requests"] > looks[-1]["requests"] / 10]
    xs, ys = [look["requests"] / 1e6 for look in after], [look["anonymous_kib"] for look in after]
    x, y = sum(xs) / len(xs), sum(ys) / len(ys)
    spread = sum((a - x) ** 2 for a in xs)
    return sum((a - x) * (b - y) for a, b in zip(xs, ys, strict=True)) / spread if spread else 0.0


def command(count: int, level: str, *, bare: bool) -> list[str]:
    program = [sys.executable, "-P", __file__, "--serve", str(count)]
    run = [sys.executable, "-P", "-c", "from aftertrace.cli.main import main; main()", "run", "--level", level]
    return program if bare else [*run, "--budget", "100%", "--", *program]


def watch(count: int, level: str, *, bare: bool) -> list[dict[str, int]]:
    """The looks, told on stderr as they come."""
    looks: list[dict[str, int]] = []
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as directory:
        here = {"AFTERTRACE_AGENT_SOCKET": str(Path(directory, "none")), "AFTERTRACE_ROOT": str(Path(__file__).parent)}
        words = command(count, level, bare=bare)
        with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env={**os.environ, **here}) as process:
            assert process.stdout is not None
            for line in process.stdout:
                looks.append(json.loads(line))
                seconds = time.monotonic() - began
                print(f"{seconds:7.0f} s {looks[-1]}", file=sys.stderr)
    if process.returncode or not looks:
        sys.exit(f"the recorded process ended with {process.returncode}")
    return looks


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=10_000_000)
    parser.add_argument("--level", default="lines")
    parser.add_argument("--bare", action="store_true", help="without the recorder: what the program itself grows by")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--serve", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        asyncio.run(serve(given.serve))
        return
    looks = watch(given.requests, given.level, bare=given.bare)
    first, last, per_million = looks[len(looks) // 10], looks[-1], slope(looks)
    if given.json:
        print(json.dumps({"level": given.level, "bare": given.bare, "looks": looks, "kib_per_million": per_million}))
        return
    own, ring = (last[name] - first[name] for name in ("anonymous_kib", "ring_kib"))
    level = "bare" if given.bare else given.level
    print(f"{last['requests']:,} requests, {last['records']:,} records at level {level}:")
    print(f"{own} KiB more than after {first['requests']:,}, {per_million:.1f} KiB per million; {ring} KiB of the ring")


if __name__ == "__main__":
    main()
