"""uvicorn and gunicorn as real processes under `aftertrace run`: script, factory, workers, reload; errors as bare."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import httpx
import pytest

from .conftest import SERVER, Agent, Runner

APP = """
import asyncio, logging, os
from aftertrace import _native
class App:
    extra = "the application's own"
    async def __call__(self, scope, receive, send):
        if scope["type"] == "lifespan":
            while (await receive())["type"] != "lifespan.shutdown":
                assert _native.current() is None
                await send({"type": "lifespan.startup.complete"})
            await send({"type": "lifespan.shutdown.complete"})
            return
        if scope["path"] == "/boom": raise KeyError("x")
        if scope["path"] == "/log": logging.getLogger("app").warning("from the request")
        if scope["path"] == "/wrong": return 7
        await send({"type": "http.response.start", "status": 200, "headers": [(b"x-pid", str(os.getpid()).encode())]})
        await send({"type": "http.response.body", "body": b"a", "more_body": True})
        if scope["path"] == "/slow": await asyncio.sleep(0.5)
        await send({"type": "http.response.body", "body": b"b"})
app = App()
def make(): return app
def wsgi(environ, start_response):
    assert _native.current() is not None
    start_response("200 OK", [("x-pid", str(os.getpid()))])
    return [b"ab"]
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_for(condition: Callable[[], object], seconds: float = 30.0) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, f"waited {seconds} s"
        time.sleep(0.02)


@contextmanager
def serving(runner: Runner, agent: Agent | None, words: list[str]) -> Iterator[tuple[httpx.Client, Path]]:
    """A client of the server, and its log."""
    (runner.home / "app.py").write_text(APP)
    port, log = free_port(), runner.home / f"{time.monotonic_ns()}.log"
    words = [runner.python, *(word.replace("PORT", str(port)) for word in words)]
    with log.open("w") as out:
        process = subprocess.Popen(
            runner.words(agent, words), cwd=runner.home, env=runner.environment(), stdout=out, stderr=out
        )
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
                until = time.monotonic() + 30
                while True:
                    try:
                        client.get("/ready")
                        break
                    except httpx.HTTPError:
                        assert time.monotonic() < until, log.read_text()
                        assert process.poll() is None, log.read_text()
                        time.sleep(0.05)
                yield client, log
        finally:
            process.terminate()
            process.wait(30)


UVICORN = ["-P", "-m", "uvicorn", "--port", "PORT", "--app-dir", "."]


@pytest.mark.parametrize(
    "words",
    [
        ["app:app"],
        ["--factory", "app:make"],
        ["--workers", "2", "app:app"],
        ["--reload", "app:app"],
        ["--interface", "wsgi", "app:wsgi"],
        ["--no-proxy-headers", "--log-level", "trace", "app:app"],
        ["--reset-contextvars", "app:app"],
    ],
    ids=" ".join,
)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_every_way_to_start_it(runner: Runner, agent: Agent, words: list[str]):
    with serving(runner, agent, [*UVICORN, *words]) as (client, log):
        pids = {client.get(f"/{n}").headers["x-pid"] for n in range(20)}
        found = agent.recorded(lambda found: sum(span.ended for span in found.of(SERVER)) >= 21)
    spans = [span for span in found.of(SERVER) if span.attributes["url.path"] != "/ready"]
    assert sorted(int(span.attributes["url.path"][1:]) for span in spans) == list(range(20)), log.read_text()
    assert {str(span.pid) for span in spans} == pids
    assert {span.attributes["http.response.status_code"] for span in spans} == {200}
    assert not any(span.parent for span in spans)


def test_the_callers_trace_goes_on_in_an_application_that_imports_nothing(runner: Runner, agent: Agent):
    """No framework, no client library: what reads the caller's header is then loaded by nobody else."""
    with serving(runner, agent, [*UVICORN, "app:app"]) as (client, _):
        client.get("/called", headers={"traceparent": f"00-{'ab' * 16}-{'cd' * 8}-01"})
        found = agent.recorded(
            lambda found: any(s.ended and s.attributes["url.path"] == "/called" for s in found.spans)
        )
    (span,) = [span for span in found.of(SERVER) if span.attributes["url.path"] == "/called"]
    assert (span.trace, span.parent) == ("ab" * 16, "cd" * 8)


def test_gunicorn_with_uvicorns_worker(runner: Runner, agent: Agent):
    if find_spec("uvicorn.workers") is None:
        pytest.skip("this uvicorn has no worker for gunicorn any more")
    words = ["-P", "-m", "gunicorn", "-k", "uvicorn.workers.UvicornWorker", "-b", "127.0.0.1:PORT", "app:app"]
    with serving(runner, agent, words) as (client, _):
        assert client.get("/x").text == "ab"
        agent.recorded(lambda found: sum(span.ended for span in found.of(SERVER)) >= 2)


def ask(client: httpx.Client, path: str) -> tuple[object, str]:
    try:
        response = client.get(path)
    except httpx.RemoteProtocolError as error:
        return type(error), str(error)
    return response.status_code, response.text


def test_what_goes_wrong_looks_as_it_does_bare(runner: Runner, agent: Agent):
    logs, answers = [], []
    for recorded_by in None, agent:
        with serving(runner, recorded_by, [*UVICORN, "--no-access-log", "app:app"]) as (client, log):
            answers.append([ask(client, path) for path in ("/boom", "/wrong", "/x")])
            with pytest.raises(httpx.ReadTimeout):
                client.get("/slow", timeout=0.1)  # the client goes away
            time.sleep(0.8)
            if recorded_by is not None:
                found = agent.recorded(lambda found: sum(span.ended for span in found.of(SERVER)) >= 5)
        logs.append(
            [line for line in log.read_text().splitlines() if "process [" not in line and "running on" not in line]
        )
    assert answers[0] == answers[1]
    assert logs[0] == logs[1]
    assert any("KeyError" in line for line in logs[0])
    by_path = {span.attributes["url.path"]: span for span in found.of(SERVER)}
    assert (by_path["/boom"].status, by_path["/boom"].attributes["error.type"]) == (2, "KeyError")
    assert (by_path["/x"].status, by_path["/slow"].ended) == (0, True)


def test_logs_stand_in_their_requests_trace(runner: Runner, agent: Agent):
    with serving(runner, agent, [*UVICORN, "app:app"]) as (client, _):
        client.get("/log")
        found = agent.recorded(lambda found: len([log for log in found.logs if log.record.logger == "app"]) == 1)
    (span,) = found.of(SERVER, url__path="/log")
    (line,) = [log for log in found.logs if log.record.logger == "app"]
    assert line.trace == span.trace
    access = [log for log in found.logs if log.record.logger == "uvicorn.access"]
    assert span.trace in {log.trace for log in access}


def test_the_configuration_stays_as_it_is(runner: Runner):
    (runner.home / "app.py").write_text(APP)
    runner.same(
        """
        import copy, sys
        sys.path.insert(0, ".")
        if "aftertrace._native" not in sys.modules: import aftertrace._native
        from uvicorn import Config
        from app import App, app
        config = Config("app:app", proxy_headers=False, log_config=None)
        config.load()
        print(config.loaded_app is app, type(config.loaded_app), config.interface, copy.copy(config).loaded_app is app)
        """
    )
