"""`aftertrace demo`: the whole way, with every real part, and the ground truth of each explained fault at its end."""

from __future__ import annotations

import itertools
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

# alone: a demo beside another one does not start
pytestmark = [pytest.mark.whole, pytest.mark.alone, pytest.mark.timeout(600)]

DEMO = [sys.executable, "-P", "-m", "aftertrace", "demo"]
SEED = 977


def environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(("AFTERTRACE_", "PYTHON"))}


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], str]:
    directory = tmp_path_factory.mktemp("demo") / "run"
    command = [*DEMO, "--seed", str(SEED), "--dir", str(directory), "--json"]
    done = subprocess.run(command, env=environment(), check=False, capture_output=True, text=True, timeout=540)
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(done.stdout), done.stderr


@pytest.mark.parametrize("variant", ["base", "second"])
@pytest.mark.parametrize("fault", [1, 2, 3, 4, 5, 6])
def test_why_names_the_ground_truth(played: tuple[dict[str, Any], str], variant: str, fault: int) -> None:
    outcome = next(one for one in played[0][variant] if one["fault"] == fault)
    truth, cause = outcome["truth"], outcome["cause"]
    assert (outcome["problem"], cause["status"]) == ("", "verified")
    assert (cause["service"], cause["line"], cause["function"]) == (truth["service"], truth["line"], truth["function"])
    assert cause["path"].endswith(truth["path"])
    assert cause["source"].strip() == truth["source"]


def test_the_second_shop_has_other_names(played: tuple[dict[str, Any], str]) -> None:
    first, second = (
        {(one["truth"]["path"], one["truth"]["name"]) for one in played[0][name]} for name in ("base", "second")
    )
    assert len(first) == len(second) == 6
    assert not first & second


def test_the_story_shows_log_cause_and_steps(played: tuple[dict[str, Any], str]) -> None:
    story = played[1]
    assert "KeyError: 'CH-'" in story
    for truth in (one["truth"] for one in played[0]["base"]):
        assert truth["source"] in story
    shown = ["aftertrace ls", "The stack trace alone", "aftertrace why", "aftertrace step", "There is no stack trace"]
    assert sorted(shown, key=story.index) == shown
    for one in played[0]["base"]:
        assert f"aftertrace why {one['trace_id'][:8]}" in story
    assert "Traceback" not in story
    assert "Go on by yourself" in story


def test_each_answer_is_short(played: tuple[dict[str, Any], str]) -> None:
    said = re.split(r"\n    \$ .*aftertrace why \w{8}\n", played[1])[1:]
    assert len(said) == 6
    for one in said:
        answer = list(itertools.takewhile(lambda line: line.startswith("    "), one.splitlines()))
        assert any("CAUSE (verified)" in line for line in answer)
        assert len(answer) <= 20


def processes_in(directory: Path) -> list[int]:
    """Processes that name the directory in their environment or command line."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            text = (entry / "environ").read_bytes() + (entry / "cmdline").read_bytes()
        except OSError:
            continue
        if os.fsencode(directory) in text:
            found.append(int(entry.name))
    return found


def test_interrupted_it_leaves_nothing_running(tmp_path: Path) -> None:
    directory = tmp_path / "run"
    demo = subprocess.Popen(
        [*DEMO, "--variant", "base", "--dir", str(directory)],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509  # whoever runs us may ignore it
    )
    deadline = time.monotonic() + 90
    while len(processes_in(directory)) < 5 and time.monotonic() < deadline:
        assert demo.poll() is None, demo.communicate()[1]
        time.sleep(0.2)
    assert len(processes_in(directory)) >= 5
    demo.send_signal(signal.SIGINT)
    _, errors = demo.communicate(timeout=60)
    assert demo.returncode == 130
    assert "Traceback" not in errors
    deadline = time.monotonic() + 10
    while processes_in(directory) and time.monotonic() < deadline:  # killed ones are still there for a moment
        time.sleep(0.1)
    assert processes_in(directory) == []
