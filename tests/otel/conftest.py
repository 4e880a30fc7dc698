"""Runs a program that uses OpenTelemetry in a process of its own, with the real recorder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # the import mode puts no test folder there

from otel_programs import AFTER, BEFORE, Run, Runner, read


@pytest.fixture
def run(tmp_path: Path) -> Runner:
    """Runs a program; ``answers[...]`` in it comes back. Fails when the program does, or when we failed within it."""

    def go(program: str, *, level: int = 0, env: dict[str, str] | None = None, failures: int = 0) -> Run:
        target, script = tmp_path / "ring", tmp_path / "program.py"
        places = {"level": level, "root": f"{tmp_path}/", "target": str(target)}
        script.write_text(BEFORE.format(**places) + textwrap.dedent(program) + AFTER.format(**places))
        environment = {k: v for k, v in os.environ.items() if not k.startswith("OTEL_")} | (env or {})
        done = subprocess.run(
            [sys.executable, "-P", "-W", "error", str(script)],
            check=False,
            capture_output=True,
            text=True,
            timeout=60,
            env=environment,
        )
        assert done.returncode == 0, done.stderr
        assert not done.stderr, done.stderr
        answers = json.loads(done.stdout.splitlines()[-1])
        assert answers["failures"] == failures, answers["report"]
        spans, logs, starts = read(target.read_bytes())
        return Run(spans, logs, answers, starts)

    return go
