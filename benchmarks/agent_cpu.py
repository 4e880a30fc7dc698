"""What the agent costs: its CPU time while a recorded program serves requests at a steady rate.

    python benchmarks/agent_cpu.py [--rate 500] [--seconds 10] [--calls 2] [--rules 0]

The requests are healthy: nothing is kept, as it is nearly always. ``--rules``: as many rules of `aftertrace keep`, each
judged on every request, fit none. Prints one line of JSON: CPU as a share of one core.
"""

from __future__ import annotations

import argparse
import json
import os
import runpy
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from aftertrace.cli import client
from aftertrace.settings import Settings

PROGRAM = """
def add(a, b):
    c = a + b
    return c
def handle(n):
    total = 0
    names = []
    for i in range(6):
        total = add(total, i * n)
        names.append(f"item-{i}")
    return {"total": total, "names": names}
"""
COMMAND = [sys.executable, "-P", "-c", "from aftertrace.cli.main import main; main()"]


def serve(socket: str, program: str, rate: float, seconds: float, calls: int) -> None:
    """The recorded program: each request is a server span with a client span in it, and some calls at level lines."""
    from aftertrace import _native
    from aftertrace.wire import handover

    root = f"{Path(program).parent}/"
    _native.start(_native.LEVEL_LINES, ring_bytes=16 << 20, defs_bytes=1 << 20, roots=[root], libraries=[])
    line = handover.connect(Path(socket), 5)
    ring = handover.Ring(_native.process_uid().hex(), os.getpid(), "load", "lines")
    handover.send(line, ring, _native.ring_fd())
    line.recv(4096)
    handle = runpy.run_path(program)["handle"]
    count = round(rate * seconds)
    began = time.monotonic()
    for number in range(count):
        span = _native.Span("GET /x", 2, None, {"http.request.method": "GET", "url.path": "/x", "http.route": "/x"})
        token = _native.attach(span)
        inner = _native.Span("SELECT", 3)
        inner.set_attribute("db.query.text", "select 1")
        inner.end()
        for _ in range(calls):
            handle(number)
        _native.detach(token)
        span.set_attribute("http.response.status_code", 200)
        span.end()
        time.sleep(max(began + (number + 1) / rate - time.monotonic(), 0))
    took = time.monotonic() - began
    written = int.from_bytes(os.pread(_native.ring_fd(), 8, 64), "little")
    print(
        json.dumps({"requests_per_s": round(count / took, 1), "bytes_per_request": round(written / count)}), flush=True
    )
    time.sleep(0.5)
    _native.close()


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def served(place: str, rules: int) -> Iterator[str]:
    """The address of a server that has so many rules; of none, where there are none."""
    if not rules:
        yield "http://127.0.0.1:1"
        return
    words = [*COMMAND, "serve", "--json", "--api-port", "0", "--otlp-port", "0", "--store", f"{place}/store"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        assert server.stdout is not None
        said = json.loads(server.stdout.readline())
        try:
            for number in range(rules):
                rule = {"expression": f"route=/never-{number} duration>{number + 1}s", "for_s": 3600, "live": False}
                client.send("POST", "/api/v1/keep", rule, settings=Settings(server=said["api"]))
            yield said["otlp"]
        finally:
            server.terminate()


def measure(rate: float, seconds: float, calls: int, rules: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as name, served(name, rules) as where:
        program = Path(name) / "app" / "program.py"
        program.parent.mkdir()
        program.write_text(PROGRAM)
        socket = f"{name}/agent.sock"
        words = ["agent", "--json", "--socket", socket, "--spool", f"{name}/spool", "--endpoint", where]
        with subprocess.Popen([*COMMAND, *words], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as agent:
            assert agent.stdout is not None
            agent.stdout.readline()
            time.sleep(2.0)  # it hears of rules
            before = cpu_seconds(agent.pid)
            again = [sys.executable, "-P", __file__, "--serve", socket, program, "--rate", rate, "--seconds", seconds]
            done = subprocess.run([*map(str, again), "--calls", str(calls)], capture_output=True, text=True, check=True)
            used = cpu_seconds(agent.pid) - before
            agent.terminate()
    return {**json.loads(done.stdout), "agent_cpu_share": round(used / seconds, 4)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=float, default=500.0)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--calls", type=int, default=2)
    parser.add_argument("--rules", type=int, default=0)
    parser.add_argument("--serve", nargs=2, metavar=("SOCKET", "PROGRAM"), help=argparse.SUPPRESS)
    words = parser.parse_args()
    if words.serve:
        socket, program = words.serve
        serve(socket, program, words.rate, words.seconds, words.calls)
    else:
        print(json.dumps(measure(words.rate, words.seconds, words.calls, words.rules)))


if __name__ == "__main__":
    main()
