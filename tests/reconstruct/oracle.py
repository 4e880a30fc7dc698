"""Programs that really run, recorded by the native recorder in a process of their own and rebuilt."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from aftertrace.model import Resource, Span, SpanKind
from aftertrace.reconstruct.build import build
from aftertrace.reconstruct.execution import Execution
from aftertrace.wire import recording
from aftertrace.wire.bundle import TraceData

# Runs a program under the recorder, in a span, and writes what its ring holds as one recording.
RECORD = """
import hashlib, json, runpy, struct, sys, time
from pathlib import Path
from aftertrace import _native
from aftertrace.wire import recording
program, target = sys.argv[1], sys.argv[2]
root = str(Path(program).parent) + "/"
_native.start(_native.LEVEL_LINES, ring_bytes=8 << 20, defs_bytes=1 << 20, roots=[root], libraries=[])
began = time.time_ns()
span = _native.Span("run", 2, None)
token = _native.attach(span)
runpy.run_path(program, run_name="__main__")
_native.detach(token)
span.end()
status = _native.status()
_native.close()
assert status["doubts"] == 0 and status["lost"] == 0, status
reader = _native.Reader(_native.ring_fd())
trace = format(span.trace_id, "032x")
source = Path(program).read_bytes()
meta = {"trace_id": trace, "process_uid": reader.process_uid.hex(), "pid": reader.pid, "service": "oracle",
        "resource": {"service.name": "oracle"}, "python": "", "level": "lines", "triggers": [], "part": 0}
slices = []
while found := reader.poll():
    slices += [(position, records) for position, owner, _, records in found if owner is not None]
assert not reader.losses()
clock = b"".join(struct.pack("<5Q", *sample) for sample in reader.clocks())
sections = [(recording.META, json.dumps(meta).encode()), (recording.DEFINITIONS, reader.definitions())]
sections += [(recording.CLOCK, clock)]
sections += [(recording.SLICE, struct.pack("<Q", position) + records) for position, records in slices]
sections += [(recording.SOURCES, json.dumps({program: hashlib.sha256(source).hexdigest()}).encode())]
print(json.dumps({"span_id": format(span.span_id, "016x"), "start_ns": began, "end_ns": time.time_ns()}))
Path(target).write_bytes(recording.write_sections(sections))
"""

PROGRAMS = {
    "arithmetic and branches": """
def price(amount, percent=10, *rest, tax=0.19, **more):
    cut = amount * percent // 100
    left = amount - cut
    if left > 50:
        label = "dear"
    else:
        label = "cheap"
    del cut
    return (label, left, rest, sorted(more), tax)
def main():
    found = []
    for amount in (10, 100, 2 ** 70, -3):
        found.append(price(amount, 20, "x", kind="a"))
    return found
main()
""",
    "loops and things changed in place": """
def work():
    total, seen, counts = 0, [], {}
    for word in ["a", "b", "a", "c"]:
        counts[word] = counts.get(word, 0) + 1
        seen.append(word)
        total += len(seen)
    squares = [n * n for n in range(4)]
    while total > 10:
        total -= 3
    a, (b, *c) = 1, (2, 3, 4)
    return total, squares, a, b, c
work()
""",
    "recursion": """
def fact(n):
    if n < 2:
        return 1
    rest = fact(n - 1)
    return n * rest
fact(6)
""",
    "generators": """
def numbers(n):
    for i in range(n):
        got = yield i
        if got:
            note = got
def both():
    x = yield from numbers(3)
    y = [v for v in numbers(2)]
    return y
def main():
    g = both()
    out = [next(g)]
    out.append(g.send("hello"))
    for rest in g:
        out.append(rest)
    return out
main()
""",
    "exceptions": """
def deep(key):
    table = {"a": 1}
    try:
        return table[key]
    finally:
        key = key * 2
def main():
    tries = 0
    for key in ("a", "b"):
        try:
            value = deep(key)
        except KeyError as error:
            tries += 1
            value = "none"
    return tries, value
main()
""",
    "closures": """
def counter(start):
    state = start
    def step(by):
        nonlocal state
        state += by
        return state
    first = step(1)
    second = step(10)
    return first, second, state
counter(5)
""",
    "tasks": """
import asyncio
async def leaf(i):
    before = i * 10
    await asyncio.sleep(0)
    after = before + 1
    return after
async def main():
    one, two = await asyncio.gather(leaf(1), leaf(2))
    total = one + two
    return total
asyncio.run(main())
""",
}


def run(script: str, program: Path, target: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-c", script, str(program), str(target)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def record(tmp_path: Path, text: str) -> tuple[Execution, Path]:
    """The program's execution, with its one server span and its source, and the file that ran."""
    program, target = tmp_path / "program.py", tmp_path / "run.atrec"
    program.write_text(text)
    said = json.loads(run(RECORD, program, target))
    data = target.read_bytes()
    read = recording.read(data)
    assert read.problems == []
    span = Span(
        trace_id=read.meta.trace_id,
        parent_id="",
        name="run",
        kind=SpanKind.SERVER,
        resource=Resource({"service.name": "oracle"}),
        **said,
    )
    sources = {read.sources[str(program)]: text}
    return build(TraceData(read.meta.trace_id, [span], [], [data], sources, [])), program
