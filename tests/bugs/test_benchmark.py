"""How answers are held against the truth; and that the benchmark, interrupted, leaves nothing behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import bugs
import pytest

from aftertrace.cli.demo.variants import Truth

ROOT = Path("/run/program")
TRUTH = Truth(1, "t", "till", "till/money.py", 5, "cents", "return int(amount * 100)", "amount", 4.35)
BENCHMARK = Path(bugs.__file__)


def link(path: str, line: int, status: str = "", **more: Any) -> dict[str, Any]:
    where = {"service": path.split("/", maxsplit=1)[0], "path": f"{ROOT}/{path}" if path else "", "line": line}
    return {**where, **({"status": status} if status else {}), **more}


TRUE, OTHER, THIRD, FOURTH = ("till/money.py", 5), ("ledger/book.py", 21), ("ledger/book.py", 17), ("till/app.py", 3)


@pytest.mark.parametrize(
    ("cause", "also", "chain", "expected"),
    [
        (link(*TRUE, "verified"), [], [], ("first", False)),
        (link(*TRUE, "likely"), [OTHER], [THIRD], ("first", False)),
        (link(*OTHER, "likely"), [TRUE], [], ("three", False)),
        (link(*OTHER, "verified"), [], [OTHER, THIRD, TRUE], ("three", True)),
        (link(*OTHER, "verified"), [], [THIRD, FOURTH, TRUE], ("wrong", True)),
        (link(*OTHER, "likely"), [], [THIRD], ("wrong", False)),
        (link("", 0, "unknown"), [], [THIRD, TRUE], ("three", False)),
        (link("", 0, "unknown"), [], [OTHER, THIRD, FOURTH, TRUE], ("abstained", False)),
        (link("", 0, "unknown"), [], [], ("abstained", False)),
        # The line alone is not enough: file and service must be right too.
        (link("till/other.py", 5, "verified"), [], [], ("wrong", True)),
        ({**link(*TRUE, "verified"), "service": "ledger"}, [], [], ("wrong", True)),
        ({**link(*TRUE, "verified"), "path": "/else/till/money.py"}, [], [], ("wrong", True)),
    ],
)
def test_judge(
    cause: dict[str, Any],
    also: list[tuple[str, int]],
    chain: list[tuple[str, int]],
    expected: tuple[str, bool],
) -> None:
    why = {"cause": cause, "also": [link(*one) for one in also], "chain": [link(*one) for one in chain]}
    assert bugs.judge(why, TRUTH, ROOT) == expected


@pytest.mark.parametrize(
    ("path", "line", "function", "expected"),
    [
        ("till/money.py", 5, "cents", "line"),
        ("till/money.py", 4, "cents", "function"),
        ("till/money.py", 9, "euros", "file"),
        ("till/app.py", 5, "cents", "service"),
        ("ledger/money.py", 5, "cents", ""),
        ("", 0, "", ""),
    ],
)
def test_nearness(path: str, line: int, function: str, expected: str) -> None:
    assert bugs.nearness(link(path, line, function=function), TRUTH, ROOT) == expected


def test_a_value_counts_only_under_its_name() -> None:
    shown = {"text": "4.35", "value": {"kind": "scalar", "type": "float", "scalar": 4.35}}
    other = {"text": "2.5", "value": {"kind": "scalar", "type": "float", "scalar": 2.5}}
    as_name = {"cause": {"name": "amount", "value": shown}}
    as_input = {"cause": {"name": "x", "value": None, "values": [{"name": "amount", "value": shown}]}}
    assert bugs.names_value(as_name, TRUTH)
    assert bugs.names_value(as_input, TRUTH)
    assert bugs.names_value({"cause": {"name": "amount", "value": other}}, TRUTH) is False
    assert bugs.names_value({"cause": {"name": "price", "value": shown}}, TRUTH) is False
    assert bugs.names_value(as_name, Truth(1, "t", "till", "till/money.py", 5, "cents", "x")) is None


def test_the_table_counts_wrong_verified_lines() -> None:
    results = [
        bugs.Result("one", "exception", "a/b.py:1", "wrong", "verified", "a/c.py:2", wrong_verified=True),
        bugs.Result("two", "slow", "a/b.py:1", "not kept"),
        bugs.Result("three", "exception", "a/b.py:1", "first", "verified", "a/b.py:1", value_named=True),
    ]
    lines = list(bugs.table(results))
    assert lines[1].startswith("one ")
    assert "wrong    !" in lines[1]
    assert lines[-2:] == ["first 1, wrong 1, not kept 1 of 3", "wrong lines called verified: 1 (must be 0)"]


def test_what_is_held_out_is_counted_by_itself() -> None:
    results = [
        bugs.Result("lock_order", "slow", "a/b.py:1", "abstained", "unknown"),
        bugs.Result("timezone", "exception", "a/b.py:1", "first", "verified", "a/b.py:1"),
    ]
    assert list(bugs.table(results))[-3:-1] == ["held out: abstained 1 of 1", "first 1, abstained 1 of 2"]
    assert set(bugs.names()) > bugs.HELD_OUT
    readme = (bugs.BUGS / "README.md").read_text()
    section = readme.partition("## Held out")[2].partition("## ")[0]
    assert {row.split("`")[1] for row in section.split("\n") if row.startswith("| `")} == bugs.HELD_OUT


@pytest.mark.whole
def test_an_interrupt_leaves_no_process_and_no_directory(tmp_path: Path) -> None:
    env = {**os.environ, "TMPDIR": str(tmp_path), "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, str(BENCHMARK), "--only", "timezone", "--json"]
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        until = time.monotonic() + 40
        while len(_running(tmp_path)) < 3 and process.poll() is None and time.monotonic() < until:
            time.sleep(0.1)  # until its server, its agent and a service are there
        assert len(_running(tmp_path)) >= 3
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=30)
    assert process.returncode == 130, errors
    assert json.loads(output) == []
    assert "Traceback" not in errors
    assert _running(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


def _running(directory: Path) -> list[int]:
    """Processes that work in a directory."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "cwd").readlink().is_relative_to(directory):
                found.append(int(process.name))
        except OSError:
            continue
    return found
