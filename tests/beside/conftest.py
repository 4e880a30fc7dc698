"""A program, and what other tools say of it: bare, and while it is recorded."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from ..record.conftest import Agent, agent, recorded, run, socket_path

__all__ = ["agent", "socket_path"]

WORK = """\
def fib(n):
    if n < 2:
        return n
    return fib(n - 1) + fib(n - 2)

def gen(n):
    for i in range(n):
        yield i * 2

def risky(n):
    try:
        if n % 3 == 0:
            raise ValueError(n)
        return n
    except ValueError:
        return -1
    finally:
        n = None

class Box:
    def __init__(self, size):
        self.size = size
    def items(self):
        return [item for item in range(self.size)]

def main():
    print(fib(6), sum(gen(4)), [risky(i) for i in range(5)], Box(3).items())

if __name__ == "__main__":
    main()
"""

type Kinds = Counter[int]  # records of each kind
type Both = Callable[..., tuple[subprocess.CompletedProcess[str], subprocess.CompletedProcess[str], list[Kinds]]]


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """The directory with work.py, where other files may be laid beside it."""
    (tmp_path / "work.py").write_text(WORK)
    return tmp_path


@pytest.fixture(scope="session")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Kinds:
    """What is recorded of work.py when nobody else watches."""
    directory = tmp_path_factory.mktemp("alone")
    (directory / "work.py").write_text(WORK)
    found = Agent(directory / "a.sock")
    words = recorded(found.path, [sys.executable, "work.py"], "--level", "lines", "--budget", "100%")
    assert run(words, directory).returncode == 0
    [process] = found.all_closed()
    found.close()
    return process.kinds


@pytest.fixture
def both(program: Path, agent: Agent) -> Both:
    """Runs a command bare and recorded at lines: how both ended, and what was recorded, per process."""

    def go(*words: str, **env: str) -> tuple[object, object, list[Kinds]]:
        bare = run(list(words), program, **env)
        done = run(recorded(agent.path, list(words), "--level", "lines", "--budget", "100%"), program, **env)
        return bare, done, [process.kinds for process in agent.all_closed()]

    return go  # type: ignore[return-value]
