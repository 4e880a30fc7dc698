"""The installed command, as a person meets it: help, version, errors without a traceback, Ctrl-C."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from importlib.metadata import distribution
from pathlib import Path

import pytest

from aftertrace.cli import main

COMMAND = [sys.executable, "-P", "-c", "from aftertrace.cli.main import main; main()"]


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, *words], capture_output=True, text=True, timeout=60, check=False)


def test_help_names_the_commands() -> None:
    done = run("--help")
    assert done.returncode == 0
    assert all(re.search(rf"^ +{name} ", done.stdout, re.M) for name in main._COMMANDS)


def test_every_entry_point_of_the_package_can_be_loaded() -> None:
    points = distribution("aftertrace").entry_points
    groups = {"console_scripts", "opentelemetry_context", "opentelemetry_tracer_provider"}
    assert {(point.group, point.name) for point in points} == {(group, "aftertrace") for group in groups}
    assert all(callable(point.load()) for point in points)


@pytest.mark.parametrize("name", sorted(main._COMMANDS))
def test_every_command_has_help(name: str) -> None:
    done = run(name, "--help")
    assert done.returncode == 0
    assert done.stdout.startswith("Usage: ")
    assert main._COMMANDS[name]


def test_help_imports_no_server() -> None:
    script = "import sys; from aftertrace.cli import main\ntry: main.cli(['--help'])\nexcept SystemExit: pass\n"
    script += "sys.exit(any(m in sys.modules for m in ('starlette', 'chdb', 'clickhouse_connect', 'rich')))"
    assert (
        subprocess.run([sys.executable, "-P", "-c", script], capture_output=True, timeout=60, check=False).returncode
        == 0
    )


def test_a_word_that_is_no_command() -> None:
    done = run("nonsense")
    assert done.returncode == 2
    assert "No such command 'nonsense'" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_error_of_ours_has_slug_hint_and_exit_code(tmp_path: Path) -> None:
    words = ["serve", "--bind", "0.0.0.0", "--api-port", "0", "--otlp-port", "0", "--store", str(tmp_path / "s")]
    done = run(*words)
    assert done.returncode == 2
    assert re.match(r"error: [a-z-]+: .+\nhint: .+", done.stderr)
    as_json = run(*words, "--json")
    assert as_json.returncode == 2
    assert set(json.loads(as_json.stdout)["error"]) == {"slug", "message", "hint"}


def test_serve_starts_says_where_and_ends_at_ctrl_c(tmp_path: Path) -> None:
    words = ["serve", "--json", "--api-port", "0", "--otlp-port", "0", "--store", str(tmp_path / "s")]
    with subprocess.Popen([*COMMAND, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        said = json.loads(server.stdout.readline())
        assert said["api"].startswith("http://127.0.0.1:")
        time.sleep(0.2)
        server.send_signal(signal.SIGINT)
        _, errors = server.communicate(timeout=30)
    assert server.returncode in {0, 130}
    assert "Traceback" not in errors
