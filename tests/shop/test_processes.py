"""What the demo starts: nothing is lost that was just being started, and ports that others take are no end."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from aftertrace.cli.demo import processes, stage
from aftertrace.cli.demo.processes import Processes
from aftertrace.cli.demo.stage import Stage


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_in_the_middle_of_a_start_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    begun: list[subprocess.Popen[bytes]] = []

    def start(*words: Any, **how: Any) -> subprocess.Popen[bytes]:
        begun.append(subprocess.Popen(*words, **how))
        signal.raise_signal(number)
        return begun[0]

    monkeypatch.setattr(processes, "subprocess", type("", (), {"Popen": start, "DEVNULL": subprocess.DEVNULL}))
    before = signal.getsignal(number)
    with pytest.raises(KeyboardInterrupt), processes.terminated_cleanly(), Processes(tmp_path) as started:
        started.start("sleeps", [sys.executable, "-c", "import time; time.sleep(60)"], env=os.environ, cwd=tmp_path)
    assert begun[0].poll() is not None
    assert signal.getsignal(number) is before


def test_ports_that_somebody_took_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usual, looks = stage._ports, []
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(2)]
        for one in sockets:  # bound, not listening: a port of somebody who starts too
            one.bind(("127.0.0.1", 0))
        taken = [one.getsockname()[1] for one in sockets]

        def look() -> tuple[int, int]:
            looks.append(1)
            return (taken[0], taken[1]) if len(looks) == 1 else usual()

        monkeypatch.setattr(stage, "_ports", look)
        with Stage.open(tmp_path) as opened:
            opened.up()
            assert opened.kept() == []
    assert len(looks) >= 2
