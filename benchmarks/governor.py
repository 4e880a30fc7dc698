"""Whether the governor keeps its budget, and tells the truth: adversarial programs under `--level lines --budget 2%`.

python benchmarks/governor.py [--budget 2] [--seconds 4] [--only NAME ...]

True cost: CPU time of equal pieces of work in one process, recording paused and not in turns, medians of the paired
ratios, after two seconds of warming up; the control pairs two paused pieces. Claimed: what the governor counted.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from aftertrace import _native

PROGRAM = '''
import asyncio

def fib(n):
    return n if n < 2 else fib(n - 1) + fib(n - 2)

def recursion():
    fib(16)

def loops():
    total = 0
    for i in range(60):
        for j in range(60):
            total += i * j
    return total

def leaf(x):
    return x + 1

def calls():
    n = 0
    for _ in range(3000):
        n = leaf(n)
    return n

def deep(n):
    return 0 if n == 0 else 1 + deep(n - 1)

def depth():
    for _ in range(10):
        deep(400)

def generated():
    for i in range(8):
        scope = {}
        exec(compile(f"def f{i}(x):\\n    y = x + {i}\\n    return y\\n", __file__, "exec"), scope)
        scope[f"f{i}"](i)

def steps(n):
    for i in range(n):
        yield i

def generators():
    return sum(steps(3000))

async def task(n):
    await asyncio.sleep(0)
    return n

async def gather():
    await asyncio.gather(*[task(i) for i in range(150)])

LOOP = asyncio.new_event_loop()

def tasks():
    LOOP.run_until_complete(gather())

def fails(x):
    try:
        raise KeyError(x)
    except KeyError:
        return None

def exceptions():
    for i in range(700):
        fails(i)

def find(d, key):
    try:
        return d[key]
    except KeyError:
        return None

def misses():
    empty = {}
    for i in range(1500):
        find(empty, i)

BIG = {f"key {i}": ["x" * 5000, {"n": i, "more": list(range(50))}] for i in range(500)}

def look(big, text):
    first = big["key 1"]
    again = big
    return len(first) + len(again) + len(text)

def values():
    text = "y" * 100_000
    for _ in range(500):
        look(BIG, text)

class Row:
    def __init__(self, i):
        self.id = i
        self.name = f"row {i}"
        self.tags = [i, i + 1]
        self.parent = None

    def total(self):
        return self.id + len(self.tags)

def objects():
    rows = [Row(i) for i in range(300)]
    return sum(row.total() for row in rows)

def business(i):
    net = i * 1.19
    label = f"order {i}"
    if i % 3 == 0:
        label += " (gift)"
    return net, label

def idle_request():
    """A request as services have them: mostly library code (here: sorting), a little of our own."""
    for i in range(3):
        business(i)
    sorted(range(20_000), key=lambda n: -n) if False else sorted(map(str, range(6_000)))
'''
NAMES = [
    "recursion",
    "loops",
    "calls",
    "depth",
    "generated",
    "generators",
    "tasks",
    "exceptions",
    "misses",
    "values",
    "objects",
    "idle_request",
]


def cpu() -> float:
    return time.process_time()


def block(work: Callable[[], Any], times: int) -> float:
    began = cpu()
    for _ in range(times):
        work()
    return cpu() - began


def warm(work: Callable[[], Any], seconds: float) -> None:
    until = cpu() + seconds
    while cpu() < until:
        work()


def pairs(work: Callable[[], Any], seconds: float) -> tuple[list[float], list[float]]:
    """Ratios recorded / paused, and paused / paused, of neighbouring blocks of about 50 ms."""
    _native.pause()
    times = max(1, int(0.05 / max(block(work, 3) / 3, 1e-6)))
    ratios, control = [], []
    until = cpu() + seconds
    while cpu() < until:
        off = block(work, times)
        off_again = block(work, times)
        _native.resume()
        on = block(work, times)
        _native.pause()
        off_after = block(work, times)
        ratios.append(on / ((off_again + off_after) / 2))
        control.append(off_again / ((off + off_after) / 2))
    _native.resume()
    return ratios, control


def middle(ratios: list[float]) -> str:
    return f"{(statistics.median(ratios) - 1) * 100:6.2f} %"


def measure(name: str, work: Callable[[], Any], seconds: float) -> None:
    warm(work, 2.0)
    before = _native.usage()
    ratios, control = pairs(work, seconds)
    after = _native.usage()
    claimed = after["code_share"] + after["exceptions_share"]
    print(
        f"{name:14} true {middle(ratios)}  control {middle(control)}  claimed {claimed:7.2%}  "
        f"spans/calls/lines {after['at_spans']}/{after['at_calls']}/{after['at_lines']}  "
        f"scale {after['scale']:.2f}  shed {after['demotions']} (+{after['demotions'] - before['demotions']})",
        flush=True,
    )


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--budget", type=float, default=2.0, help="percent")
    options.add_argument("--seconds", type=float, default=4.0, help="of CPU, per program")
    options.add_argument("--only", nargs="*", default=NAMES)
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder).resolve() / "program.py"
        path.write_text(PROGRAM, encoding="utf-8")
        for name in given.only:
            _native.start(
                _native.LEVEL_LINES,
                ring_bytes=16 << 20,
                defs_bytes=8 << 20,
                roots=[f"{path.parent}/"],
                libraries=[],
                budget=given.budget / 100,
            )
            scope: dict[str, Any] = {"__file__": str(path)}
            exec(compile(PROGRAM, str(path), "exec"), scope)  # the program above
            measure(name, scope[name], given.seconds)
            _native.stop()


if __name__ == "__main__":
    main()
