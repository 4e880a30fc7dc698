"""A failing Flask view, Django view and Celery task are kept and explained exactly as a failing ASGI one is."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest
from agent_parts import COMMAND, free_port, wait_for

pytestmark = [pytest.mark.whole, pytest.mark.timeout(180)]

PRICES = """\
def rate_of(region):
    rates = {"de": 19, "fr": 20}
    return rates.get(region)


def total(cents, region):
    rate = rate_of(region)
    return cents + cents * rate // 100
"""

TASKS = """\
import os
from celery import Celery
from prices import total
app = Celery("tasks", broker=os.environ["REDIS"])
app.conf.broker_connection_retry_on_startup = True

@app.task
def charge(cents, region):
    return total(cents, region)
"""

FLASK = """\
from flask import Flask
from prices import total
from tasks import charge
app = Flask("shop")

@app.get("/totals/<region>")
def totals(region):
    return str(total(250, region))

@app.get("/charges/<region>")
def charges(region):
    charge.delay(250, region)
    return "sent"
"""

DJANGO = """\
from django.conf import settings
settings.configure(ROOT_URLCONF=__name__, SECRET_KEY="s", ALLOWED_HOSTS=["*"])
from django.core.wsgi import get_wsgi_application
from django.http import HttpResponse
from django.urls import path
from prices import total

def totals(request, region):
    return HttpResponse(str(total(250, region)))

urlpatterns = [path("totals/<region>", totals)]
app = get_wsgi_application()
"""

FASTAPI = """\
from fastapi import FastAPI
from prices import total
app = FastAPI()

@app.get("/totals/{region}")
async def totals(region: str):
    return total(250, region)
"""

SERVICES = {
    "fastapi": ["-m", "uvicorn", "--port", "PORT", "fastapi_:app"],
    "flask": ["-m", "gunicorn", "-b", "127.0.0.1:PORT", "flask_:app"],
    "django": ["-m", "waitress", "--listen", "127.0.0.1:PORT", "django_:app"],
    "worker": ["-m", "celery", "-A", "tasks", "worker", "-c", "1", "-l", "WARNING"],
}
"""Each a process of its own; the worker with Celery's own pool of processes."""


def environment(**more):
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("AFTERTRACE_", "OTEL_", "PYTHON"))
    }
    return kept | {"C_FORCE_ROOT": "1", "PYTHONDONTWRITEBYTECODE": "1"} | more


@contextmanager
def running(words, home, name, **env):
    with (home / f"{name}.log").open("w") as log:
        process = subprocess.Popen(words, cwd=home, env=environment(**env), stdout=log, stderr=log)
        try:
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(30)


@pytest.fixture
def shop(tmp_path, agent):
    """The address of each service that has one."""
    redis = shutil.which("redis-server")
    if redis is None:
        pytest.skip("redis-server is not installed")
    home = tmp_path / "shop"
    home.mkdir()
    files = {"prices": PRICES, "tasks": TASKS, "flask_": FLASK, "django_": DJANGO, "fastapi_": FASTAPI}
    for name, text in files.items():
        (home / f"{name}.py").write_text(text)
    port = free_port()
    env = {"REDIS": f"redis://127.0.0.1:{port}/0"}
    urls = {}
    with ExitStack() as stack:
        words = [redis, "--port", str(port), "--bind", "127.0.0.1", "--save", ""]
        stack.enter_context(running(words, home, "redis"))
        for name, service in SERVICES.items():
            urls[name] = f"http://127.0.0.1:{free_port()}"
            python = [sys.executable, *(word.replace("PORT", urls[name].rpartition(":")[2]) for word in service)]
            options = ["--level", "lines", "--budget", "100%", "--service", name, "--agent-socket", str(agent.socket)]
            stack.enter_context(running([*COMMAND, "run", *options, "--", *python], home, name, **env))
        for name in ("fastapi", "flask", "django"):
            wait_for(lambda url=urls[name]: answers(url))
        yield home, urls


def answers(url):
    try:
        return httpx.get(url + "/totals/de", timeout=20).text.strip('"') == "297"
    except httpx.HTTPError:
        return False


def why(server, trace):
    done = subprocess.run(
        [*COMMAND, "why", trace, "--json"],
        env=environment(AFTERTRACE_SERVER=server.api),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_all_are_kept_and_explained_alike(shop, server):
    home, urls = shop
    asked = {
        "fastapi": (urls["fastapi"] + "/totals/xx", 500),
        "flask": (urls["flask"] + "/totals/xx", 500),
        "django": (urls["django"] + "/totals/xx", 500),
        "worker": (urls["flask"] + "/charges/xx", 200),
    }
    traces = {}
    for number, (name, (url, status)) in enumerate(asked.items(), 1):
        traces[name] = f"{time.time_ns():031x}{number}"
        caller = {"traceparent": f"00-{traces[name]}-{number:016x}-01"}
        assert httpx.get(url, headers=caller, timeout=20).status_code == status
    found = {}
    for name, trace in traces.items():
        bundle = server.kept(trace, 40)
        assert [keep.trigger for keep in bundle.keeps if keep.reason.startswith("TypeError")], bundle.keeps
        assert bundle.problems == [], Path(home / f"{name}.log").read_text()
        found[name] = why(server, trace)
    assert found["fastapi"]["cause"]["source"].strip() == "return rates.get(region)"
    assert found["fastapi"]["cause"]["status"] == "verified"
    told = {name: everywhere_alike(one) for name, one in found.items()}
    assert told["flask"] == told["django"] == told["worker"] == told["fastapi"]
    assert {name: one["cause"]["service"] for name, one in found.items()} == {name: name for name in asked}


def everywhere_alike(answer):
    """Cause, chain and failure without what names the process."""
    kept = [keep["trigger"] for keep in answer["kept"]], [keep["reason"] for keep in answer["kept"]]
    places = [answer["cause"], answer["failure"], *answer["chain"]]
    own = ("service", "address", "line_address")
    return kept, answer["unknown"], [{key: one[key] for key in one if key not in own} for one in places]
