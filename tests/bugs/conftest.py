"""Makes the planted bugs and their benchmark importable; a program as real processes, without aftertrace."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "examples" / "bugs"), str(ROOT / "benchmarks")]

from planted import Bug, Program, open_program, plant  # noqa: E402

from aftertrace.cli.demo.processes import Processes  # noqa: E402


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[str], tuple[Bug, Program]]]:
    """Starts a program with plain Python; all is stopped after the test."""
    with ExitStack() as stack:

        def begin(name: str) -> tuple[Bug, Program]:
            processes = stack.enter_context(Processes(tmp_path / "logs"))
            env = {name: value for name, value in os.environ.items() if not name.startswith(("AFTERTRACE_", "PYTHON"))}
            bug = plant(name, tmp_path / "program")
            return bug, open_program(bug, tmp_path / "data", processes, env)

        yield begin
