"""What a recorded program finds loaded that it has not imported itself: it is what our start costs, beside the ring."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from aftertrace.wire import handover
from aftertrace.wire.handover import SetLevel

from .conftest import Agent, environment, recorded, run

# Small ones of the interpreter's, most of them in C. None of them imports another.
FOREIGN = {"__future__", "_datetime", "_json", "_socket", "atexit", "binascii", "errno", "fcntl", "gc", "resource"}
OURS = {
    "aftertrace",
    "aftertrace._native",
    "aftertrace.errors",
    "aftertrace.fields",
    "aftertrace.record",
    "aftertrace.record.bootstrap",
    "aftertrace.record.boundaries",
    "aftertrace.record.boundaries.calls",
    "aftertrace.record.boundaries.imports",
    "aftertrace.record.boundaries.otel",
    "aftertrace.record.boundaries.state",
    "aftertrace.record.connection",
    "aftertrace.record.fork",
    "aftertrace.record.link",
    "aftertrace.record.loaded",
    "aftertrace.record.memory",
    "aftertrace.record.program",
    "aftertrace.record.recorder",
    "aftertrace.record.resource",
    "aftertrace.record.roots",
    "aftertrace.record.sources",
    "aftertrace.settings",
    "aftertrace.wire",
    "aftertrace.wire.handover",
    "aftertrace.wire.lean_json",
    "aftertrace.wire.switches",
}
TELL = "import sys; print(*sorted(sys.modules))"


def modules(words: list[str], cwd: Path) -> set[str]:
    done = run(words, cwd)
    assert (done.returncode, done.stderr) == (0, "")
    return set(done.stdout.split())


def test_a_start_loads_next_to_nothing(tmp_path: Path, agent: Agent) -> None:
    words = [sys.executable, "-c", TELL]
    added = modules(recorded(agent.path, words), tmp_path) - modules(words, tmp_path)
    assert agent.all_closed()[0].in_order
    assert added <= OURS | FOREIGN
    assert {"aftertrace._native", "aftertrace.record.link", "aftertrace.record.boundaries"} <= added


def test_boundaries_load_little_beside_what_they_wait_for(tmp_path: Path, agent: Agent) -> None:
    """Not `typing`, not the regular expressions of the propagation, which costs more than all the rest."""
    words = [sys.executable, "-c", f"import threading, concurrent.futures.thread\n{TELL}"]
    added = modules(recorded(agent.path, words), tmp_path) - modules(words, tmp_path)
    added -= OURS | FOREIGN | {"importlib", "importlib._bootstrap", "importlib._bootstrap_external"}
    assert added == {"aftertrace.record.boundaries.logs", "aftertrace.record.boundaries.threads"}


def test_a_fork_loads_nothing(tmp_path: Path, agent: Agent) -> None:
    """In the parent either, where the thread begins anew."""
    text = f"import os\npid = os.fork()\nif pid: os.waitpid(pid, 0)\nsum(range(9))\n{TELL}"
    words = [sys.executable, "-c", text]
    added = modules(recorded(agent.path, words), tmp_path) - modules(words, tmp_path)
    assert added <= OURS | FOREIGN


def test_the_thread_imports_nothing_for_sources_and_orders(tmp_path: Path, agent: Agent) -> None:
    """A fork in the middle of an import on another thread would leave the child a lock that nobody opens."""
    (tmp_path / "app.py").write_text(f"def f(): pass\nf()\ninput()\n{TELL}\n")
    words = [sys.executable, "app.py"]
    bare = modules(words, tmp_path)
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(recorded(agent.path, words), cwd=tmp_path, env=environment(), text=True, **pipes) as process:
        [found] = agent.wait(lambda processes: bool(processes and processes[0].sources))
        handover.send(found.connection, SetLevel("lines"))
        agent.wait(lambda _: found.reader is not None and found.reader.level == 2)
        out, err = process.communicate("go\n", timeout=20)
    assert (process.returncode, err) == (0, "")
    assert set(out.split()) - bare <= OURS | FOREIGN
