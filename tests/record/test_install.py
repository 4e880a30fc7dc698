"""`aftertrace.install()` and `keep()`, and what importing aftertrace costs a service."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

import aftertrace

from .conftest import KEEP, LINE, START, Agent, recorded, run

LIVE = """
import sys
class Shop:
    def price(self, n):
        return n * 2
    @staticmethod
    def name(): return "shop"
def outer():
    def inner(n):
        return n
    return inner
held = outer()
held(0)
import aftertrace
print(aftertrace.install(agent_socket=sys.argv[1], service="live", level="lines"), aftertrace.install(level="calls"))
Shop().price(1), Shop.name(), held(2), (lambda: 3)()
aftertrace.keep("because", cart=7)
"""


def test_a_program_that_is_running_already_is_recorded_from_here_on(tmp_path: Path, agent: Agent) -> None:
    (tmp_path / "app.py").write_text(LIVE)
    done = run([sys.executable, "app.py", str(agent.path)], tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "True True\n", "")
    [process] = agent.all_closed()
    assert process.ring is not None
    assert (process.ring.service, process.ring.level) == ("live", "lines")
    assert process.kinds[START] == 4
    assert process.kinds[LINE] >= 6  # the module's own lines, too
    assert process.kinds[KEEP] == 1
    assert process.in_order


def test_under_run_install_changes_nothing(tmp_path: Path, agent: Agent) -> None:
    (tmp_path / "app.py").write_text("import aftertrace\nprint(aftertrace.install(service='other'))\n")
    assert run(recorded(agent.path, [sys.executable, "app.py"]), tmp_path).stdout == "True\n"
    [process] = agent.all_closed()
    assert process.ring is not None
    assert process.ring.service == "app"


def test_switched_off_install_says_no(tmp_path: Path, agent: Agent) -> None:
    (tmp_path / "app.py").write_text(LIVE)
    done = run([sys.executable, "app.py", str(agent.path)], tmp_path, AFTERTRACE_ENABLED="0")
    assert (done.returncode, done.stdout, done.stderr) == (0, "False False\n", "")
    assert not agent.processes


def test_words_that_cannot_be_read_are_told_to_the_caller() -> None:
    from aftertrace.errors import UsageError

    for words in ({"level": "everything"}, {"budget": "200%"}, {"budget": 3.0}):
        with pytest.raises(UsageError):
            aftertrace.install(**words)  # type: ignore[arg-type]


def test_keep_without_a_recorder_does_nothing() -> None:
    code = "import aftertrace, sys\naftertrace.keep('x', a=1)\naftertrace.keep(None)\n"
    code += "print('aftertrace._native' in sys.modules)"
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_keep_never_raises_when_recording(tmp_path: Path, agent: Agent) -> None:
    (tmp_path / "app.py").write_text(
        "import aftertrace\nclass Odd:\n    def __repr__(self): raise RuntimeError\n    __str__ = __repr__\n"
        "aftertrace.keep(Odd())\naftertrace.keep('x', a=Odd(), b=[Odd()])\naftertrace.keep(5, **{'odd key': None})\n"
        "aftertrace.keep('y' * 100_000)\n"
    )
    done = run(recorded(agent.path, [sys.executable, "app.py"]), tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    [process] = agent.all_closed()
    assert process.kinds[KEEP] >= 1


def test_importing_aftertrace_is_light() -> None:
    code = "import sys\nbefore = set(sys.modules)\nimport aftertrace\nprint(sorted(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "['__future__', 'aftertrace']\n"
    timed = "import time\nt = time.process_time()\nimport aftertrace\nprint((time.process_time() - t) * 1000)"
    costs = [float(subprocess.check_output([sys.executable, "-P", "-c", timed])) for _ in range(7)]
    assert statistics.median(costs) < 30, costs


def test_the_module_has_no_other_names() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = aftertrace.nothing
    assert set(aftertrace.__all__) == {"__version__", "install", "keep"}
    assert os.path.dirname(aftertrace.__file__)
