"""What `aftertrace run` adds to a program's start, and to a fork: CPU and wall clock against the bare program, in turn.

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
from pathlib import Path

from aftertrace.record.run import SITE

FORKS = """
import os, time
def fork():
    pid = os.fork()
    if not pid:
        os._exit(0)
    os.waitpid(pid, 0)
fork()
begun = time.perf_counter()
for _ in range(20):
    fork()
print((time.perf_counter() - begun) / 20 * 1000)
"""
PROGRAMS = {"nothing": "pass", "asyncio, json, logging": "import asyncio, json, logging", "fastapi": "import fastapi"}


def environments(directory: str) -> dict[str, dict[str, str]]:
    bare = {key: value for key, value in os.environ.items() if not key.startswith(("AFTERTRACE_", "PYTHON"))}
    nobody = str(Path(directory) / "none.sock")
    return {"bare": bare, "recorded": {**bare, "PYTHONPATH": SITE, "AFTERTRACE_AGENT_SOCKET": nobody}}


def start(program: str, env: dict[str, str]) -> tuple[float, float]:
    """CPU and wall clock, ms."""
    before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run([sys.executable, "-c", program], env=env, check=True)
    wall, after = time.perf_counter() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return cpu * 1000, wall * 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=25)
    rounds: int = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as directory:
        envs = environments(directory)
        for name, program in PROGRAMS.items():
            times: dict[str, list[tuple[float, float]]] = {kind: [] for kind in envs}
            for _ in range(rounds):
                for kind, env in envs.items():
                    times[kind].append(start(program, env))
            cpu, wall = ({kind: statistics.median(t[i] for t in times[kind]) for kind in envs} for i in (0, 1))
            spent = (
                f"{what} {of['bare']:.0f} -> {of['recorded']:.0f} ms" for what, of in (("CPU", cpu), ("wall", wall))
            )
            print(f"{name}: {', '.join(spent)}")
        words = [sys.executable, "-c", FORKS]
        forks = {kind: float(subprocess.check_output(words, env=env)) for kind, env in envs.items()}
        print(f"fork, child's end awaited: {forks['bare']:.1f} -> {forks['recorded']:.1f} ms")


if __name__ == "__main__":
    main()
