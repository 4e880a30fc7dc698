"""What `aftertrace run` adds to a program's start, and to a fork: CPU, wall clock and memory beside the ring, against
the bare program, in turn; without an agent, and with one that takes the ring.

python benchmarks/record_startup.py [--rounds 25]
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager

from aftertrace.record.run import SITE

FORKS = """
import os, resource, time
def fork():
    pid = os.fork()
    if not pid:
        os._exit(0)
    os.waitpid(pid, 0)
def cpu():
    return time.process_time() + sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2])
fork()
begun = cpu()
for _ in range(40):
    fork()
print((cpu() - begun) / 40 * 1000)
"""
MEMORY = """
import sys
for line in open("/proc/self/status"):
    if line.startswith(("RssAnon", "RssShmem")):
        print(line.split()[1])
"""
PROGRAMS = {
    "nothing": "pass",
    "asyncio, json, logging": "import asyncio, json, logging",
    "fastapi": "import fastapi",
    "fastapi, uvicorn, httpx, sqlite3": "import fastapi, uvicorn.protocols.http.h11_impl, httpx, sqlite3",
}

type Environments = dict[str, dict[str, str]]


@contextmanager
def environments(directory: str) -> Iterator[Environments]:
    bare = {key: value for key, value in os.environ.items() if not key.startswith(("AFTERTRACE_", "PYTHON"))}
    kinds = {"bare": bare}
    for kind in ("recorded", "with agent"):
        kinds[kind] = {**bare, "PYTHONPATH": SITE, "AFTERTRACE_AGENT_SOCKET": f"{directory}/{kind}.sock"}
    agent = [sys.executable, "-P", "-m", "aftertrace", "agent", "--socket", f"{directory}/with agent.sock"]
    spool = ["--spool", f"{directory}/spool", "--endpoint", "http://127.0.0.1:9"]
    with subprocess.Popen([*agent, *spool, "--json"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        process.stdout.readline()
        try:
            yield kinds
        finally:
            process.terminate()


def start(program: str, env: dict[str, str]) -> tuple[float, float]:
    """CPU and wall clock, ms."""
    before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run([sys.executable, "-c", program], env=env, check=True)
    wall, after = time.perf_counter() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return cpu * 1000, wall * 1000


def starts(kinds: Environments, rounds: int) -> None:
    for name, program in PROGRAMS.items():
        times: dict[str, list[tuple[float, float]]] = {kind: [] for kind in kinds}
        for _ in range(rounds):
            for kind, env in kinds.items():
                times[kind].append(start(program, env))
        told = [f"bare {statistics.median(cpu for cpu, _ in times['bare']):.0f} ms CPU"]
        for kind in list(kinds)[1:]:
            cpu, wall = (
                statistics.median(one[i] - bare[i] for one, bare in zip(times[kind], times["bare"], strict=True))
                for i in (0, 1)
            )
            told.append(f"{kind} +{cpu:.1f} ms CPU, +{wall:.1f} ms wall")
        print(f"{name}: {'; '.join(told)}", flush=True)


def said(program: str, env: dict[str, str]) -> list[float]:
    words = subprocess.check_output([sys.executable, "-c", program], env=env, text=True).split()
    return [float(word) for word in words]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=25)
    rounds: int = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as directory, environments(directory) as kinds:
        starts(kinds, rounds)
        forks = {kind: statistics.median(said(FORKS, env)[0] for _ in range(3)) for kind, env in kinds.items()}
        print(f"fork and child's end, CPU: {', '.join(f'{kind} {cost:.1f} ms' for kind, cost in forks.items())}")
        memory = {kind: said(MEMORY, env) for kind, env in kinds.items()}
        told = (f"{kind} {own / 1024:.1f} + {ring / 1024:.1f} MiB" for kind, (own, ring) in memory.items())
        print(f"memory of nothing, own + ring: {', '.join(told)}")


if __name__ == "__main__":
    main()
