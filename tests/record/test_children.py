"""What a program starts is followed: forks, multiprocessing, subprocesses, servers with workers."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from .conftest import START, Agent, environment, recorded, run

ASGI = """
import os
def answer(path): return f"{os.getpid()} {path}".encode()
async def app(scope, receive, send):
    if scope["type"] != "http":
        raise RuntimeError(scope["type"])
    body = answer(scope["path"])
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})
def wsgi(environ, start_response):
    start_response("200 OK", [])
    return [answer(environ["PATH_INFO"])]
"""


def test_a_fork_has_a_ring_of_its_own_and_the_parent_s_goes_on(tmp_path: Path, agent: Agent) -> None:
    (tmp_path / "app.py").write_text(
        "import os, sys\ndef child(n): return n\ndef parent(n): return n\n"
        "pid = os.fork()\nif not pid:\n    [child(n) for n in range(5)]\n    sys.exit()\n"
        "os.waitpid(pid, 0)\n[parent(n) for n in range(50)]\n"
    )
    assert run(recorded(agent.path, [sys.executable, "app.py"]), tmp_path).returncode == 0
    parent, child = sorted(agent.all_closed(), key=lambda process: -process.kinds[START])
    assert parent.ring is not None
    assert child.ring is not None
    assert parent.ring.process_uid != child.ring.process_uid
    assert parent.ring.pid != child.ring.pid == child.ring.resource["process.pid"]
    assert (parent.kinds[START], child.kinds[START]) == (51, 5)  # the module's code, too, in the parent
    assert parent.in_order
    assert child.in_order
    assert [source.path for source in child.sources] == [str(tmp_path / "app.py")]


def test_a_parent_that_forked_still_tells_of_new_files(tmp_path: Path, agent: Agent) -> None:
    (tmp_path / "later.py").write_text("def g(): return 1\n")
    (tmp_path / "app.py").write_text(
        "import os, sys, time\nfor n in range(3):\n    if not os.fork(): os._exit(0)\n    os.wait()\n"
        "import later\nlater.g()\ntime.sleep(1.5)\nos.kill(os.getpid(), 9)\n"
    )
    assert run(recorded(agent.path, [sys.executable, "app.py"]), tmp_path).returncode == -signal.SIGKILL
    parents = [process for process in agent.all_closed() if len(process.sources) == 2]
    assert len(parents) == 1


@pytest.mark.parametrize("how", ["fork", "spawn", "forkserver"])
def test_workers_of_multiprocessing_end_in_order(how: str, tmp_path: Path, agent: Agent) -> None:
    (tmp_path / "app.py").write_text(
        "import multiprocessing\ndef work(n): return n\ndef many(): [work(n) for n in range(30)]\n"
        "if __name__ == '__main__':\n"
        f"    worker = multiprocessing.get_context({how!r}).Process(target=many)\n"
        "    worker.start()\n    worker.join()\n    raise SystemExit(worker.exitcode)\n"
    )
    assert run(recorded(agent.path, [sys.executable, "app.py"]), tmp_path).returncode == 0
    processes = agent.all_closed()
    [worker] = [process for process in processes if process.kinds[START] >= 30]
    assert worker.in_order
    assert {process.ring.service for process in processes if process.ring} == {"app"}
    assert not any("resource_tracker" in " ".join(p.ring.argv) for p in processes if p.ring)


def test_a_subprocess_is_the_same_service_unless_it_says_otherwise(tmp_path: Path, agent: Agent) -> None:
    (tmp_path / "child.py").write_text("def f(): return 1\nf()\n")
    (tmp_path / "app.py").write_text(
        "import os, subprocess, sys\n"
        f"words = [sys.executable, {str(tmp_path / 'child.py')!r}]\n"
        "subprocess.check_call(words, cwd='/')\n"
        "subprocess.check_call(words, env=os.environ | {'OTEL_SERVICE_NAME': 'other'})\n"
        "subprocess.check_call(words, env={'PATH': os.environ['PATH']})\n"
    )
    assert run(recorded(agent.path, [sys.executable, "app.py"]), tmp_path).returncode == 0
    processes = agent.all_closed()
    assert sorted(process.ring.service for process in processes if process.ring) == ["app", "app", "other"]
    assert sorted(process.kinds[START] for process in processes) == [1, 2, 2]


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


@contextmanager
def serving(words: list[str], cwd: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(
        words, cwd=cwd, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    ) as server:
        try:
            until = time.monotonic() + 30
            while True:
                try:
                    get(port, "/ready")
                    break
                except OSError:
                    assert time.monotonic() < until
                    assert server.poll() is None, server.stderr and server.stderr.read()
                    time.sleep(0.1)
            yield server
        finally:
            if server.poll() is None:
                server.terminate()
                try:
                    server.communicate(timeout=20)
                except subprocess.TimeoutExpired:
                    server.kill()
                    raise


def get(port: int, path: str) -> bytes:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as response:
        body: bytes = response.read()
        return body


BIN = Path(sys.executable).parent
SERVERS = {
    "uvicorn": ("uvicorn", "app:app", "--workers", "2", "--log-level", "error", "--port"),
    "uvicorn alone": ("uvicorn", "app:app", "--log-level", "error", "--port"),
    "gunicorn": ("gunicorn", "app:wsgi", "-w", "2", "--log-level", "error", "-b"),
    "gunicorn, loaded before the fork": ("gunicorn", "app:wsgi", "-w", "2", "--preload", "--log-level", "error", "-b"),
}


@pytest.mark.parametrize("name", SERVERS)
def test_a_server_s_workers_are_recorded(name: str, tmp_path: Path, agent: Agent) -> None:
    if not (BIN / SERVERS[name][0]).exists():
        pytest.skip(f"{SERVERS[name][0]} is not installed")
    (tmp_path / "app.py").write_text(ASGI)
    port = free_port()
    last = f"127.0.0.1:{port}" if name.startswith("gunicorn") else str(port)
    words = recorded(agent.path, [str(BIN / SERVERS[name][0]), *SERVERS[name][1:], last], "--budget", "100%")
    with serving(words, tmp_path, port) as server:
        answers = [get(port, "/hello").split() for _ in range(20)]
        assert {path for _, path in answers} == {b"/hello"}
        workers = {int(pid) for pid, _ in answers}
        server.send_signal(signal.SIGTERM)
        server.communicate(timeout=20)
        assert server.returncode in {0, -signal.SIGTERM}
    processes = agent.all_closed()
    assert {process.ring.service for process in processes if process.ring} == {"app"}
    served = [process for process in processes if process.ring and process.ring.pid in workers]
    assert len(served) == len(workers)
    assert sum(process.kinds[START] for process in served) >= 40
    if name.startswith("gunicorn"):  # uvicorn ends itself by the signal that it got
        assert all(process.in_order for process in served)


def test_os_exit_in_a_fork_is_no_end_in_order_but_all_is_there(tmp_path: Path, agent: Agent) -> None:
    (tmp_path / "app.py").write_text("import os\ndef f(): os._exit(0)\nif not os.fork(): f()\nos.wait()\n")
    assert run(recorded(agent.path, [sys.executable, "app.py"]), tmp_path).returncode == 0
    [child] = [process for process in agent.all_closed() if process.ring and not process.in_order]
    assert child.kinds[START] == 1
    assert child.ring is not None
    assert child.ring.pid != os.getpid()
