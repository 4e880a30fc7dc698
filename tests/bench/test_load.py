"""The generators against a real server, whose own count is the truth."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from aftertrace.cli.bench import load
from aftertrace.cli.bench.load import Broken, Connection, Paced, arrivals

LOAD = [sys.executable, "-P", load.__file__]


class Server(ThreadingHTTPServer):
    daemon_threads = True
    served = 0
    delay = 0.0
    status = 200

    def handle_error(self, *_: object) -> None:
        pass  # a generator that was ended reads no more


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        time.sleep(self.server.delay)
        self.server.served += 1
        self.send_response(self.server.status)
        self.send_header("Content-Length", "70000")  # more than one read
        self.end_headers()
        self.wfile.write(b"x" * 70000)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(("127.0.0.1", 0), Handler) as one:
        thread = threading.Thread(target=one.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield one
        one.shutdown()
        thread.join()


def wait(until: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not until():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_closed_load_stands_still_and_goes_on(server: Server) -> None:
    with subprocess.Popen([*LOAD, "closed", str(server.server_port), "2"]) as running:
        try:
            wait(lambda: server.served > 20)
            running.send_signal(signal.SIGSTOP)
            os.waitid(os.P_PID, running.pid, os.WSTOPPED)
            wait(lambda: _quiet(server))
            still = server.served
            running.send_signal(signal.SIGCONT)
            wait(lambda: server.served > still + 20)
        finally:
            running.kill()


def _quiet(server: Server) -> bool:
    before = server.served
    time.sleep(0.1)
    return server.served == before


def test_closed_load_says_what_is_wrong(server: Server) -> None:
    server.status = 500
    done = subprocess.run([*LOAD, "closed", str(server.server_port), "2"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("load: HTTP/1.1 500")


def test_paced_load_offers_what_was_asked(server: Server) -> None:
    paced = Paced(server.server_port)
    with contextlib.closing(paced):
        for seed in (1, 2):
            found = paced.slice(200, 0.3, seed)
            assert found["offered"] == len(list(arrivals(200, 0.3, seed))) == len(found["latencies"])
    assert server.served > 60


def test_waiting_in_front_of_a_busy_server_counts(server: Server) -> None:
    server.delay = 0.05
    with contextlib.closing(Paced(server.server_port)) as paced:
        found = paced.slice(600, 0.4, 3)  # 16 connections of 50 ms serve 320 a second
    late = sorted(found["latencies"])
    assert late[0] >= 50_000
    assert late[-1] > 150_000


def test_what_is_not_answered_in_time_is_missing(server: Server) -> None:
    server.delay = 1.5
    with contextlib.closing(Paced(server.server_port)) as paced:
        found = paced.slice(50, 0.1, 4)
        assert found["offered"] > len(found["latencies"]) == 0
        server.delay = 0.0
        again = paced.slice(50, 0.1, 4)
        assert again["offered"] == len(again["latencies"])


def test_a_server_that_closes_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        one = Connection.open(listener.getsockname()[1])
        accepted, _ = listener.accept()
        one.ask(0.0)
        accepted.close()
        with pytest.raises((Broken, ConnectionResetError)):
            one.answered()
        one.socket.close()


def test_the_process_of_paced_load_answers_and_survives(server: Server, tmp_path: os.PathLike[str]) -> None:
    path = f"{tmp_path}/line"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        with subprocess.Popen([*LOAD, "paced", path]) as running:
            line, _ = listener.accept()
            with line, line.makefile("rw") as lines:

                def order(port: int) -> dict[str, object]:
                    lines.write(json.dumps({"port": port, "rate": 100, "seconds": 0.1, "seed": 1}) + "\n")
                    lines.flush()
                    answer: dict[str, object] = json.loads(lines.readline())
                    return answer

                assert "refused" in str(order(1)["error"])
                assert order(server.server_port)["offered"]
            assert running.wait(30) == 0


def test_arrivals_are_the_same_for_the_same_seed() -> None:
    assert list(arrivals(100, 1, 7)) == list(arrivals(100, 1, 7)) != list(arrivals(100, 1, 8))
    assert 800 < len(list(arrivals(1000, 1, 7))) < 1200
    assert all(0 < at < 1 for at in arrivals(1000, 1, 7))
