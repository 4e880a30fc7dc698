"""A whole measurement, small, and its three forms; Ctrl-C; callgrind's files."""

from __future__ import annotations

import json
import os
import re
import signal
import struct
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from aftertrace.cli.bench import picture, report, text
from aftertrace.cli.bench.catalog import PROGRAMS, Tool, tools
from aftertrace.cli.bench.found import Found
from aftertrace.cli.bench.instructions import read_profile
from aftertrace.cli.bench.report import Table
from aftertrace.cli.bench.servers import Bench
from aftertrace.cli.bench.session import Plan, Session
from aftertrace.errors import UsageError
from aftertrace.show.console import Console

TINY = Plan(generations=1, sweeps=2, warm_s=0.2, governed_s=0.3, steady_s=0.2, paced_rounds=2, paced_s=0.2)
CHOSEN = {"bare", "control", "aftertrace", "aftertrace auto", "breakpoint"}


@pytest.fixture(scope="module")
def table(bench: Bench) -> Table:
    absent = Tool("absent", "", wrap=lambda python: [python[0], "-c", "raise SystemExit('it is not there')"])
    chosen = [*(tool for tool in tools() if tool.name in CHOSEN), absent]
    found, said = Found(PROGRAMS[0]), list[str]()
    Session(bench, chosen, TINY, said.append, found).measure()
    assert any("2 of 2" in line for line in said)
    made = report.table(found)
    assert made is not None
    return made


def test_each_row_has_its_figures(table: Table) -> None:
    rows = {row.name: row for row in table.rows}
    levels = [f"aftertrace {level}" for level in ("spans", "calls", "lines", "auto")]
    assert list(rows) == ["control", *levels, "breakpoint"]
    for row in rows.values():
        assert row.cpu.low <= row.cpu.value <= row.cpu.high
        assert row.p50.value is not None
    assert rows["breakpoint"].cpu.value > 1.5  # it traces every call of FastAPI and uvicorn
    for name in levels:
        assert rows[name].bytes
        assert rows[name].agent
        assert rows[name].records["SpanStart"] > 0
    assert all(rows[name].within is not None for name in levels[1:])
    shares = [(one.calls, one.lines, one.source) for name in levels[:3] if (one := rows[name].fidelity)]
    assert shares == [(0, 0, 0), (1, 0, 0), (1, 1, 1)]
    assert table.failed == {"absent": "it is not there"}


def test_its_three_forms_say_the_same(table: Table, tmp_path: Path) -> None:
    page, machine = report.approaches([table], tools()), report.machine()
    shown = text.render([table], page, machine, Console())
    row = next(row for row in table.rows if row.name == "breakpoint")
    line = next(line for line in shown.splitlines() if line.startswith("breakpoint "))
    assert line.split()[1] == (f"{row.cpu.value:.3f}" if row.cpu.value < 2 else f"{row.cpu.value:.2f}")
    assert "absent: not measured: it is not there" in shown
    assert json.loads(json.dumps(table.to_json()))["rows"][-1]["cpu_per_request"]["ratio"] == round(row.cpu.value, 4)
    assert re.search(r"^breakpoints +\d", shown, re.MULTILINE)
    assert re.search(r"^logging +not measured", shown, re.MULTILINE)
    picture.draw([table, table, table], page, machine, tmp_path / "page.png")
    head = (tmp_path / "page.png").read_bytes()[:24]
    assert head[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">I", head[16:20])[0] == picture.WIDTH * picture.SCALE


def test_a_picture_that_cannot_be_written_is_a_plain_error(table: Table, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be written"):
        picture.draw([table], [], report.machine(), tmp_path / "none" / "page.png")


def test_ctrl_c_ends_everything_and_shows_what_there_is() -> None:
    words = [
        sys.executable,
        "-P",
        "-m",
        "aftertrace",
        "bench",
        "--only",
        "fastapi-hello",
        "--tool",
        "logging",
        "--json",
    ]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        assert running.stderr is not None
        watchdog = threading.Timer(120, running.kill)
        watchdog.start()
        seen = []
        for line in running.stderr:
            seen.append(line)
            if "latency at half" in line:
                break
        started = _children(running.pid)
        running.send_signal(signal.SIGINT)
        output, rest = running.communicate(timeout=60)
        watchdog.cancel()
    assert running.returncode == 130
    assert "interrupted" in rest
    assert [row["name"] for row in json.loads(output)["programs"][0]["rows"]] == ["control", "logging"]
    assert len(started) >= 6, seen  # three servers, their loads, the sink
    assert not [pid for pid in started if _alive(pid)]


def _children(pid: int) -> list[int]:
    return [int(one) for task in Path(f"/proc/{pid}/task").iterdir() for one in (task / "children").read_text().split()]


def _alive(pid: int) -> bool:
    try:
        return "bench" in Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return False


def test_callgrind_s_own_sum_is_ours(tmp_path: Path) -> None:
    out = tmp_path / "callgrind.out"
    words = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}", "/bin/true"]
    subprocess.run(words, check=True, capture_output=True, env={"PATH": os.environ["PATH"]})
    total, own = read_profile(out)
    [summed] = re.findall(r"^(?:totals|summary): (\d+)", out.read_text(), re.MULTILINE)[:1]
    assert total == int(summed)
    assert sum(own.values()) == total
    assert any("ld-linux" in library and count > 1000 for (library, _), count in own.items())
    assert all((function and not function.startswith("(")) or "below main" in function for _, function in own)
