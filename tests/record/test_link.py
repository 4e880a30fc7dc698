"""The line to the agent: it comes, goes, gives orders, and may be hostile."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from aftertrace.record.sources import Sources
from aftertrace.wire import handover
from aftertrace.wire.handover import Refused, SetLevel

from .conftest import LINE, START, Agent, environment, recorded, run

LOOP = """
import sys, threading, time
def work(n):
    n = n + 1
    return n
def f():
    while not stop.wait(0.05):
        work(1)
stop = threading.Event()
thread = threading.Thread(target=f)
thread.start()
sys.stdin.read()
stop.set()
thread.join()
print("done")
"""


@contextmanager
def looping(socket_path: Path, directory: Path, *options: str) -> Iterator[subprocess.Popen[str]]:
    """A program that works until its stdin ends, and says so."""
    (directory / "app.py").write_text(LOOP)
    words = recorded(socket_path, [sys.executable, "app.py"], *options)
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(words, cwd=directory, env=environment(), text=True, **pipes) as process:
        try:
            yield process
            out, err = process.communicate(timeout=20)
            assert (process.returncode, out) == (0, "done\n"), err
        finally:
            process.kill()


def test_the_offer_says_who_the_process_is(tmp_path: Path, agent: Agent) -> None:
    (tmp_path / "app.py").write_text("def f(): return 1\nf()\n")
    words = recorded(agent.path, [sys.executable, "app.py", "x"], "--service", "cart", "--level", "lines")
    assert run(words, tmp_path, OTEL_RESOURCE_ATTRIBUTES="service.version=1.2%2Ba,team=shop").returncode == 0
    [process] = agent.all_closed()
    ring = process.ring
    assert ring is not None
    assert (ring.service, ring.level, ring.argv) == ("cart", "lines", (sys.executable, "app.py", "x"))
    assert ring.resource["service.name"] == "cart"
    assert ring.resource["service.version"] == "1.2+a"
    assert ring.resource["team"] == "shop"
    assert ring.resource["telemetry.sdk.name"] == "aftertrace"
    assert ring.resource["process.pid"] == ring.pid
    assert process.in_order
    assert process.kinds[LINE] >= 1


def test_sources_come_as_they_are_on_disk_even_from_a_short_program(tmp_path: Path, agent: Agent) -> None:
    (tmp_path / "helper.py").write_text("# ünïcode\ndef g(): return 2\n")
    (tmp_path / "app.py").write_text("import helper\nhelper.g()\n")
    assert run(recorded(agent.path, [sys.executable, "app.py"]), tmp_path).returncode == 0
    [process] = agent.all_closed()
    sent = {source.path: source.data for source in process.sources}
    assert sent == {str(path): path.read_bytes() for path in tmp_path.glob("*.py")}
    assert len(process.sources) == 2


def test_an_agent_that_starts_later_gets_the_ring_with_all_that_is_in_it(tmp_path: Path, socket_path: Path) -> None:
    with looping(socket_path, tmp_path):
        late = Agent(socket_path)
        [process] = late.wait(lambda found: any(p.kinds[START] > 3 and p.sources for p in found))
        assert process.sources[0].path == str(tmp_path / "app.py")
    late.all_closed()
    late.close()


def test_an_agent_that_comes_back_gets_ring_and_sources_again(tmp_path: Path, socket_path: Path) -> None:
    with looping(socket_path, tmp_path):
        first = Agent(socket_path)
        [before] = first.wait(lambda found: any(p.sources and p.kinds[START] for p in found))
        first.close()
        second = Agent(socket_path)
        [after] = second.wait(lambda found: any(p.sources and p.kinds[START] for p in found))
        assert before.ring is not None
        assert after.ring is not None
        assert before.ring.process_uid == after.ring.process_uid
        assert before.sources == after.sources
    second.close()


def test_the_agent_sets_the_level(tmp_path: Path, agent: Agent) -> None:
    with looping(agent.path, tmp_path, "--level", "calls"):
        [process] = agent.wait(lambda found: any(p.kinds[START] > 3 for p in found))
        assert not process.kinds[LINE]
        handover.send(process.connection, SetLevel("lines"))
        agent.wait(lambda found: found[0].kinds[LINE] > 3)
        handover.send(process.connection, SetLevel("spans"))
        agent.wait(lambda found: found[0].reader is not None and found[0].reader.level == 0)
    agent.all_closed()


def test_a_refused_ring_is_not_offered_again_soon(tmp_path: Path, socket_path: Path) -> None:
    agent = Agent(socket_path, Refused("full", "no more processes"))
    with looping(socket_path, tmp_path):
        agent.wait(lambda found: bool(found) and found[0].closed)
        threading.Event().wait(1.5)
        assert len(agent.processes) == 1
    agent.close()


def test_what_is_no_message_ends_the_connection_and_nothing_else(tmp_path: Path, agent: Agent) -> None:
    with looping(agent.path, tmp_path):
        agent.wait(lambda found: any(p.ring for p in found))
        for garbage in (b"\xff\x00garbage\n", b'{"type":"level","level":"all"}\n', b"[" * 100_000 + b"\n"):
            [*_, last] = agent.processes
            count = len(agent.processes)
            handover_with_descriptor(last.connection, garbage)
            agent.wait(lambda found, count=count: len(found) > count and found[-1].ring is not None)
    agent.all_closed()


def handover_with_descriptor(connection: socket.socket, data: bytes) -> None:
    """Bytes, and a descriptor that nobody asked for."""
    reading, writing = os.pipe()
    socket.send_fds(connection, [data], [reading])
    os.close(reading)
    os.close(writing)


def test_a_file_that_has_changed_since_is_not_what_ran(tmp_path: Path) -> None:
    file = tmp_path / "a.py"
    file.write_text("one")
    sources = Sources()
    assert sources.meet(str(file))
    assert not sources.meet(str(file))
    found = sources.read(str(file))
    assert found is not None
    assert found.data == b"one"
    file.write_text("other")
    assert sources.read(str(file)) is None


def test_what_is_no_file_is_no_source(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.py")
    sources = Sources()
    for path in (tmp_path / "pipe.py", tmp_path / "missing.py", tmp_path, Path("<string>"), Path("a\0b")):
        assert not sources.meet(str(path))
        assert sources.read(str(path)) is None


def test_a_deep_tree_of_files_that_vanish_is_no_source(tmp_path: Path) -> None:
    file = tmp_path / "a.py"
    file.write_text("one")
    sources = Sources()
    sources.meet(str(file))
    file.unlink()
    assert sources.read(str(file)) is None
