"""What an event costs the program: ns over the bare program, medians of paired on and off blocks in one process.

python benchmarks/native_events.py [--rounds N]

The control pairs two bare blocks: what it shows is noise. Goals: call + return <= 100 ns, line <= 45 ns, span <= 1 us.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from aftertrace import _native

# The recorded program. At calls its loops run recorded functions, as a program does; what is measured at lines is
# called from outside, so that only its own lines count.
PROGRAM = """
def two(a, b):
    return a

def nothing():
    pass

def lines(a, b):
    c = a
    d = b
    e = c
    f = d
    c = e
    d = f
    e = a
    f = b
    c = f
    d = e
    e = d
    f = c
    c = a
    d = b
    e = c
    f = d
    return f

def handled():
    try:
        raise ValueError("no")
    except ValueError:
        pass

def steps(n):
    for i in range(n):
        yield i

def call_ints(block):
    for _ in block:
        two(1, 2)

def call_strs(block):
    for _ in block:
        two("A-17", "CH")

def call_nothing(block):
    for _ in block:
        nothing()

def iterate(block):
    for _ in steps(len(block)):
        pass

def raise_handled(block):
    for _ in block:
        handled()
"""
LINES = 17  # that `lines` runs
N = 4_000

type Recorded = Callable[[list[None]], object]


class Case(NamedTuple):
    """What is measured: a loop over a block, the level, and how many events count in one round of the loop."""

    loop: str
    level: int
    events: int


CASES = {
    "call + return, two ints": Case("call_ints", _native.LEVEL_CALLS, 1),
    "call + return, two strs": Case("call_strs", _native.LEVEL_CALLS, 1),
    "call + return, no arguments": Case("call_nothing", _native.LEVEL_CALLS, 1),
    "yield + resume": Case("iterate", _native.LEVEL_CALLS, 1),
    "call + raise + handled, at calls": Case("raise_handled", _native.LEVEL_CALLS, 1),
    "call + 17 lines, per line": Case("call_lines", _native.LEVEL_LINES, LINES),
}


def _loops(directory: str) -> dict[str, Recorded]:
    """The loops of the recorded program, and those that are not recorded themselves."""
    functions: dict[str, Any] = {}
    exec(compile(PROGRAM, f"{directory}program.py", "exec"), functions)
    lines = functions["lines"]

    def call_lines(block: list[None]) -> None:
        for _ in block:
            lines(1, 2)

    return {**functions, "call_lines": call_lines}


def _block(loop: Recorded, level: int) -> float:
    """ns per round of the loop."""
    block = [None] * N
    _native.set_level(level)
    loop(block)  # the interpreter settles what it specialises
    began = time.perf_counter_ns()
    loop(block)
    return (time.perf_counter_ns() - began) / N


def _paired(loop: Recorded, level: int, rounds: int) -> tuple[float, float]:
    """Medians of the bare block and of (on - off), each pair in another order than the one before."""
    bare, differences = [], []
    for i in range(rounds):
        levels = (0, level) if i % 2 else (level, 0)
        first, second = (_block(loop, one) for one in levels)
        off, on = (first, second) if i % 2 else (second, first)
        bare.append(off)
        differences.append(on - off)
    return statistics.median(bare), statistics.median(differences)


def main() -> None:
    """Prints a line per case."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=101)
    rounds: int = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as directory:
        root = f"{Path(directory).resolve()}/"
        _native.start(_native.LEVEL_SPANS, ring_bytes=1 << 22, defs_bytes=1 << 20, roots=[root], libraries=[])
        loops = _loops(root)
        span = _native.Span("benchmark")
        token = _native.attach(span)
        for name, case in CASES.items():
            _, control = _paired(loops[case.loop], _native.LEVEL_SPANS, rounds)
            bare, cost = _paired(loops[case.loop], case.level, rounds)
            print(
                f"{name:34} +{cost / case.events:6.1f} ns  on {bare / case.events:6.1f} ns bare"
                f"  (control {control / case.events:+.1f} ns)"
            )
        _native.detach(token)
        span.end()
        _native.close()


if __name__ == "__main__":
    main()
