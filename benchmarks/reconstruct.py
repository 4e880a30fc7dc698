"""How long it takes to rebuild a request and to step through it: python benchmarks/reconstruct.py [CALLS]

Records a real program of its own (CALLS calls of a loop of ten rounds, 4,000 if not said: about 112,000 steps), in this
process, then rebuilds it and asks a debugger's session every kind of thing. Median of five for the questions.
"""

from __future__ import annotations

import json
import statistics
import struct
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from aftertrace import _native
from aftertrace.explain.show import shown
from aftertrace.reconstruct.build import build
from aftertrace.show.session import Session
from aftertrace.wire import recording
from aftertrace.wire.bundle import TraceData

PROGRAM = """
def price(n, extra):
    total = 0
    for i in range(n):
        total += i * extra
    return total
def work(calls):
    sums = []
    for i in range(calls):
        sums.append(price(10, i))
    return sums[-1]
"""
COMMANDS = [
    "goto start", "next", "step 3", "out", "back", "reverse-step", "reverse-out", "goto end", "where", "locals",
    "print sums", "history i", "wrote i", "list 30", "break price if total == 45", "continue", "reverse-continue",
    "goto program.py:9", "spans", "next 1000", "reverse-step 1000",
]  # fmt: skip


def record(calls: int) -> TraceData:
    """One request, as the agent would hand it over."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "program.py"
        path.write_text(PROGRAM)
        names: dict[str, Callable[[int], int]] = {}
        roots, size = [f"{directory}/"], 64 << 20
        _native.start(_native.LEVEL_LINES, ring_bytes=size, defs_bytes=1 << 20, roots=roots, libraries=[])
        exec(compile(PROGRAM, str(path), "exec"), names)
        with _native.Span("request", 2, None) as span:
            token = _native.attach(span)
            names["work"](calls)
            _native.detach(token)
        _native.close()
        return _read(_native.Reader(_native.ring_fd()), format(span.trace_id, "032x"))


def _read(reader: _native.Reader, trace_id: str) -> TraceData:
    sections = []
    while found := reader.poll():
        sections += [
            (recording.SLICE, struct.pack("<Q", position) + records)
            for position, owner, _, records in found
            if owner is not None
        ]
    meta = {"trace_id": trace_id, "process_uid": reader.process_uid.hex(), "pid": reader.pid, "service": "bench"}
    meta |= {"resource": {}, "level": "lines"}
    clock = b"".join(struct.pack("<5Q", *sample) for sample in reader.clocks())
    head = [(recording.META, json.dumps(meta).encode()), (recording.DEFINITIONS, reader.definitions())]
    return TraceData(trace_id, recordings=[recording.write_sections([*head, (recording.CLOCK, clock), *sections])])


def milliseconds(what: Callable[[], object], rounds: int) -> float:
    """Median time of some rounds."""
    times = []
    for _ in range(rounds):
        began = time.perf_counter()
        what()
        times.append(time.perf_counter() - began)
    return 1000 * statistics.median(times)


def main() -> None:
    trace = record(int(sys.argv[1]) if len(sys.argv) > 1 else 4000)
    execution = build(trace)
    print(f"{len(trace.recordings[0]):,} bytes, {len(execution.steps):,} steps, {len(execution.frames):,} calls")
    print(f"{'build':30}{milliseconds(lambda: build(trace), 3):10.1f} ms")
    print(f"{'begin a session':30}{milliseconds(lambda: Session(execution), 3):10.1f} ms")
    print(f"{'show':30}{milliseconds(lambda: shown(execution, limit=200), 3):10.1f} ms")
    session = Session(execution)
    for command in COMMANDS:
        print(f"{command:30}{milliseconds(lambda words=command: session.run(words), 5):10.1f} ms")  # type: ignore[misc]


if __name__ == "__main__":
    main()
