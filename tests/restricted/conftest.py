"""A program in places where much is forbidden: bare, and under the recorder."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from aftertrace.record.run import environment as recording
from aftertrace.record.run import resolve
from aftertrace.settings import from_environment

from ..record.conftest import Agent, agent, environment, socket_path

__all__ = ["agent", "socket_path"]

# Tells what a program can notice: results, its descriptors' numbers, what it may still open, what it wrote.
PROGRAM = """
import json, os, sys
class Point:
    def __init__(self):
        self.x = [1, 2]
def f(n):
    point = Point()
    return sum(point.x) + n
total = sum(f(i) for i in range(100))
opened = []
for _ in range(2):
    opened.append(os.open(os.devnull, os.O_RDONLY))
told = json.dumps({"total": total, "opened": opened, "argv": sys.argv[1:], "pid": os.getpid() > 0})
if sys.stdout is not None:
    print(told, flush=True)
else:
    os.makedirs(os.environ["OUT"] + "-" + str(total) + "-" + str(opened[-1]), exist_ok=True)
"""
# Another user who may read the interpreter wherever it lies, and nothing more.
OTHER = 54321
AS_OTHER = [
    "setpriv", f"--reuid={OTHER}", f"--regid={OTHER}", "--clear-groups", "--inh-caps=+dac_read_search",
    "--ambient-caps=+dac_read_search",
]  # fmt: skip
needs_root = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("setpriv") is None, reason="only root can be somebody else, or make namespaces"
)


@dataclass
class Ended:
    code: int
    out: str
    err: str

    def said(self) -> list[str]:
        """What we told on stderr."""
        return [line for line in self.err.splitlines() if line.startswith("aftertrace: ")]


@pytest.fixture
def program(tmp_path: Path) -> Path:
    (tmp_path / "program.py").write_text(PROGRAM)
    return tmp_path / "program.py"


type Places = Callable[..., tuple[Ended, Ended]]


@pytest.fixture
def places(program: Path, agent: Agent) -> Places:
    """Runs the program bare and recorded in the same place: ``before`` is called in the process that becomes it,
    ``wrap`` are words before the command."""

    def go(
        before: Callable[[], object] | None = None,
        *,
        wrap: tuple[str, ...] = (),
        env: Mapping[str, str | None] | None = None,
    ) -> tuple[Ended, Ended]:
        words = [sys.executable, str(program)]
        here = environment(AFTERTRACE_AGENT_SOCKET=str(agent.path), OUT=str(program.parent / "out"))
        settings = from_environment(here | {key: value for key, value in (env or {}).items() if value is not None})
        there = here | recording(here, settings, resolve(words))
        del there["AFTERTRACE_STDERR"]  # what we say is for whoever started `aftertrace run`; here stderr is another
        ended = []
        for variables in (here, there):
            given = variables | {key: value for key, value in (env or {}).items() if value is not None}
            for key in [key for key, value in (env or {}).items() if value is None]:
                given.pop(key, None)
            done = subprocess.run(
                [*wrap, *words], cwd=program.parent, env=given, capture_output=True, text=True, timeout=60, check=False,
                preexec_fn=before,
            )  # fmt: skip
            ended.append(Ended(done.returncode, done.stdout, done.stderr))
        return ended[0], ended[1]

    return go
