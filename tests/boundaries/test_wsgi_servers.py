"""Real WSGI servers as processes under `aftertrace run`: one span per request of any application; errors as bare."""

from __future__ import annotations

import re
from pathlib import Path

import httpx
import pytest

from .conftest import SERVER, Agent, Runner
from .test_uvicorn import ask, serving, wait_for

PLAIN = """
import os, sys
from aftertrace import _native
PID = [("x-pid", str(os.getpid())), ("content-type", "text/plain")]
class Body:
    def __init__(self, span): self.span, self.chunks = span, [b"a", b"b"]
    def __iter__(self): return self
    def __next__(self):
        if not self.chunks: raise StopIteration
        if self.span is not None: assert _native.current().span_id == self.span.span_id
        return self.chunks.pop(0)
    def close(self): print("closed", flush=True)
def app(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/boom": raise KeyError("x")
    if path == "/middle":
        start_response("200 OK", PID)
        def parts(): yield b"a"; raise ValueError("in the middle")
        return parts()
    if path == "/write":
        write = start_response("200 OK", PID); write(b"w"); return [b"x"]
    if path == "/file":
        start_response("200 OK", PID)
        file, wrapper = open(__file__, "rb"), environ.get("wsgi.file_wrapper")
        return wrapper(file, 64) if wrapper else file
    if path == "/list":
        start_response("200 OK", PID + [("content-length", "2")]); return [b"ab"]
    start_response("200 OK", PID)
    return Body(_native.current())
if __name__ == "__main__":
    port = int(sys.argv[2])
    if sys.argv[1] == "wsgiref":
        from wsgiref.simple_server import make_server
        make_server("127.0.0.1", port, app).serve_forever()
    else:
        from werkzeug.serving import run_simple
        run_simple("127.0.0.1", port, app, threaded=True)
"""
SHOP = """
import sys
from flask import Flask
app = Flask("shop")
@app.get("/<word>")
def word(word):
    if word == "boom": raise KeyError("x")
    return "ab"
if __name__ == "__main__": app.run(port=int(sys.argv[1]), debug=False)
"""
SITE = """
import sys
from django.conf import settings
settings.configure(ROOT_URLCONF=__name__, SECRET_KEY="s", ALLOWED_HOSTS=["*"], WSGI_APPLICATION=f"{__name__}.app")
from django.http import HttpResponse
from django.urls import path
def page(request, word):
    if word == "boom": raise KeyError("x")
    return HttpResponse("ab")
urlpatterns = [path("<word>", page)]
from django.core.wsgi import get_wsgi_application
app = get_wsgi_application()
if __name__ == "__main__":
    from django.core.management import execute_from_command_line
    execute_from_command_line(["manage.py", "runserver", "--noreload", sys.argv[1]])
"""

GUNICORN = ["-m", "gunicorn", "-b", "127.0.0.1:PORT"]
SERVERS = {
    "gunicorn sync": [*GUNICORN, "-w", "2", "plain:app"],
    "gunicorn gthread": [*GUNICORN, "-k", "gthread", "--threads", "4", "--preload", "plain:app"],
    "waitress": ["-m", "waitress", "--listen", "127.0.0.1:PORT", "plain:app"],
    "wsgiref": ["plain.py", "wsgiref", "PORT"],
    "werkzeug": ["plain.py", "werkzeug", "PORT"],
    "flask run": ["shop.py", "PORT"],
    "runserver": ["site_.py", "PORT"],
}
FRAMEWORKS = ("flask run", "runserver")


def settled(log: Path) -> list[str]:
    """What a server said, without what differs from run to run."""
    text = re.sub(r"\[?\d{2,4}[-/]\w+[-/]\d{2,4}[ :][\d:,]+[^\]\"]*\]?|[\[(]\d+[\])]|:\d{4,5}\b", "", log.read_text())
    text = re.sub(r"0x[0-9a-f]+|\w+ \d+, \d{4} - [\d:]+", "", text)
    return sorted(line for line in text.splitlines() if "pid: " not in line and "Using worker" not in line)


@pytest.mark.parametrize("name", SERVERS)
def test_a_request_is_one_span(runner: Runner, agent: Agent, name: str):
    for file, text in ("plain.py", PLAIN), ("shop.py", SHOP), ("site_.py", SITE):
        (runner.home / file).write_text(text)
    route = "/<word>" if name in FRAMEWORKS else ""
    paths = ["/a", "/boom", "/b"] if route else ["/a", "/boom", "/middle", "/write", "/file", "/list", "/b"]
    answers, logs = [], []
    closed = 0 if route else 3  # /ready, /a and /b
    for recorded_by in None, agent:
        with serving(runner, recorded_by, SERVERS[name]) as (client, log):
            answers.append([_stripped(ask(client, path)) for path in paths])
            wait_for(lambda log=log: log.read_text().count("closed\n") == closed)
            if recorded_by is not None:
                found = agent.recorded(lambda found: sum(span.ended for span in found.of(SERVER)) >= len(paths) + 1)
        logs.append(settled(log))
    assert answers[0] == answers[1]
    assert logs[0] == logs[1]
    spans = {span.attributes["url.path"]: span for span in found.of(SERVER)}
    assert len(spans) == len(found.of(SERVER)) == len(paths) + 1
    assert {span.attributes.get("http.route", "") for span in spans.values()} == {route}
    assert all(span.trace != other.trace for span in spans.values() for other in spans.values() if span is not other)
    assert [spans[path].status for path in paths] == [2 if path in {"/boom", "/middle"} else 0 for path in paths]
    assert spans["/boom"].attributes["error.type"] == "KeyError"
    assert spans["/boom"].events[0][1]["exception.message"] == "x"
    assert spans["/a"].attributes["http.response.status_code"] == 200


def _stripped(answer: tuple[object, str]) -> tuple[object, str]:
    return answer[0], "" if answer[0] == 500 else re.sub(r"\d{4,}", "", answer[1])


def test_gunicorns_time_limit_is_an_error_of_the_request(runner: Runner, agent: Agent):
    (runner.home / "slow.py").write_text(
        "import time\n"
        "def app(environ, start_response):\n"
        "    if environ['PATH_INFO'] == '/slow': time.sleep(60)\n"
        "    start_response('200 OK', [])\n"
        "    return [b'x']\n"
    )
    with serving(runner, agent, [*GUNICORN, "--timeout", "1", "slow:app"]) as (client, _):
        with pytest.raises(httpx.HTTPError):
            client.get("/slow", timeout=20).raise_for_status()
        found = agent.recorded(lambda found: any(span.ended for span in found.of(SERVER, url__path="/slow")))
    (slow,) = found.of(SERVER, url__path="/slow")
    assert (slow.status, slow.attributes["error.type"]) == (2, "SystemExit")
