"""OpenTelemetry in programs as they are run: `aftertrace run`, contrib instrumentations, the real exporter, a real
agent and server."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest

from aftertrace.cli import client
from aftertrace.errors import NotFound
from aftertrace.model import Span
from aftertrace.reconstruct.build import build
from aftertrace.reconstruct.execution import Execution, StepKind
from aftertrace.settings import Settings

pytestmark = [pytest.mark.whole, pytest.mark.timeout(180)]

COMMAND = [sys.executable, "-P", "-c", "from aftertrace.cli.main import main; main()"]

SERVE = """
import socket, sys, uvicorn
listener = socket.socket()
listener.bind(("127.0.0.1", 0))
listener.listen(64)
print(listener.getsockname()[1], flush=True)
try:
    uvicorn.Server(uvicorn.Config(app, log_level="critical")).run(sockets=[listener])
except KeyboardInterrupt:
    pass
"""

ORDERS = """
from fastapi import FastAPI
from opentelemetry import baggage, trace
app = FastAPI()
tracer = trace.get_tracer("orders.prices")

def price(item: int) -> int:
    cents = {1: 250, 2: 990}
    return cents[item]

@app.get("/orders/{item}")
async def order(item: int):
    with tracer.start_as_current_span("price", attributes={"item": item, "who": baggage.get_baggage("user") or ""}):
        return {"cents": price(item)}
"""

# Instrumented by the program itself, or by opentelemetry-instrument: the same source.
GATEWAY = """
import os, httpx
from fastapi import FastAPI
from opentelemetry import baggage, context, trace
app = FastAPI()
orders = httpx.AsyncClient(base_url=os.environ["ORDERS"])

@app.get("/items/{item}")
async def item(item: int):
    token = context.attach(baggage.set_baggage("user", "ann"))
    with trace.get_tracer("gateway").start_as_current_span("ask") as span:
        span.add_event("asking")
        answer = await orders.get(f"/orders/{item}")
        code = answer.status_code
    context.detach(token)
    return {"code": code, "trace": format(span.get_span_context().trace_id, "032x")}
"""

CONTRIB = """
from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor
FastAPIInstrumentor.instrument_app(app)
HTTPXClientInstrumentor().instrument()
orders = httpx.AsyncClient(base_url=os.environ["ORDERS"])
"""

OWN_SDK = """
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
provider = TracerProvider(resource=Resource.create({"service.name": "gateway-exported"}))
provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(), schedule_delay_millis=60_000))
trace.set_tracer_provider(provider)
"""


@dataclass
class Up:
    """A server, and the agent of `aftertrace up`."""

    socket: Path
    otlp: str
    settings: Settings

    def environment(self, **more: str) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("AFTERTRACE_", "OTEL_", "PYTHON"))}
        return kept | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}"} | more

    def kept(self, trace: str, complete: Any) -> Execution:
        """The request, once it is kept and complete."""
        until = time.monotonic() + 30
        while True:
            try:
                found = build(client.bundle(trace, settings=self.settings))
                if found.keeps and complete(found):
                    return found
            except NotFound:
                found = None
            assert time.monotonic() < until, found and [
                (s.name, s.resource.service, s.scope) for s in found.spans.values()
            ]
            time.sleep(0.1)


def server(home: Path, word: str, *options: str) -> Iterator[Up]:
    words = [word, "--json", "--api-port", "0", "--otlp-port", "0", "--store", str(home / "store"), *options]
    with (
        (home / "err").open("w") as errors,
        subprocess.Popen([*COMMAND, *words], stdout=subprocess.PIPE, stderr=errors, text=True) as process,
    ):
        assert process.stdout is not None
        said = json.loads(process.stdout.readline())
        yield Up(home / "a.sock", said["otlp"], Settings(server=said["api"]))
        process.send_signal(signal.SIGTERM)
        assert process.wait(40) == 0


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    home = tmp_path_factory.mktemp("up")
    yield from server(home, "up", "--agent-socket", str(home / "a.sock"))


@pytest.fixture(scope="module")
def backend(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """Where a program's own exporter sends: a server that nothing else sends to."""
    yield from server(tmp_path_factory.mktemp("backend"), "serve")


@dataclass
class Service:
    process: subprocess.Popen[str]
    url: str

    def get(self, path: str) -> tuple[int, Any]:
        import httpx

        answer = httpx.get(self.url + path, timeout=30)
        return answer.status_code, answer.json()

    def end(self) -> str:
        self.process.send_signal(signal.SIGINT)
        said = self.process.communicate(timeout=40)[1]
        assert self.process.returncode == 0
        return said


@pytest.fixture
def service(up: Up, tmp_path: Path) -> Iterator[Any]:
    """service(name, *parts of a program, launcher, **environment)."""
    running: list[Service] = []

    def start(name: str, *parts: str, launcher: tuple[str, ...] = (), **env: str) -> Service:
        directory = tmp_path / name
        directory.mkdir()
        (directory / "app.py").write_text("\n".join([*parts, SERVE]))
        options = ["--level", "lines", "--budget", "100%", "--service", name, "--agent-socket", str(up.socket)]
        process = subprocess.Popen(
            [*COMMAND, "run", *options, "--", *launcher, "python", "app.py"],
            cwd=directory,
            env=up.environment(**env),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        port = process.stdout.readline().strip()
        assert port, process.communicate()[1]
        running.append(Service(process, f"http://127.0.0.1:{port}"))
        return running[-1]

    yield start
    for one in running:  # by Ctrl-C: two deaths by a signal would switch the next one's recorder off
        if one.process.poll() is None:
            one.process.send_signal(signal.SIGINT)
        one.process.communicate(timeout=40)


def scoped(found: Execution, scope: str, name: str) -> Span:
    spans = [span for span in found.spans.values() if (span.scope, span.name) == (scope, name)]
    assert len(spans) == 1, [(span.scope, span.name) for span in found.spans.values()]
    return spans[0]


def ancestors(found: Execution, span: Span) -> list[tuple[str, str]]:
    line = []
    while span.parent_id:
        span = found.spans[span.parent_id]
        line.append((span.scope, span.name))
    return line


def lines_of(found: Execution, function: str) -> int:
    """How many lines of a function were recorded."""
    return sum(
        step.kind is StepKind.LINE and found.frames[step.process, step.activation].code.name == function
        for step in found.steps
    )


_CONTRIB = "opentelemetry.instrumentation"
WAY = [  # from the call in orders back to where the request came in: our boundaries and the instrumentations both
    ("aftertrace.asgi", "GET /orders/{item}"),
    (f"{_CONTRIB}.httpx", "GET"),
    ("aftertrace.httpx", "GET"),
    ("gateway", "ask"),
    (f"{_CONTRIB}.fastapi", "GET /items/{item}"),
    ("aftertrace.asgi", "GET /items/{item}"),
]


def both(found: Execution) -> bool:
    return len(found.processes) == 2 and lines_of(found, "price") > 0 and lines_of(found, "item") > 4


def test_contrib_instrumentations_and_plain_api_without_an_sdk(up: Up, service: Any) -> None:
    orders = service("orders", ORDERS)
    gateway = service("gateway", GATEWAY, CONTRIB, ORDERS=orders.url)
    status, answer = gateway.get("/items/7")
    assert (status, answer["code"]) == (200, 500)
    found = up.kept(answer["trace"], both)
    price = scoped(found, "orders.prices", "price")
    assert ancestors(found, price) == WAY
    assert price.attributes == {"item": 7, "who": "ann"}
    assert [event.name for event in price.events] == ["exception"]


def test_a_program_s_own_sdk_exports_to_its_backend_beside_us(up: Up, backend: Up, service: Any) -> None:
    orders = service("orders", ORDERS)
    exporter = {"OTEL_EXPORTER_OTLP_ENDPOINT": backend.otlp}
    gateway = service("gateway", OWN_SDK, GATEWAY, CONTRIB, ORDERS=orders.url, **exporter)
    status, answer = gateway.get("/items/7")
    assert (status, answer["code"]) == (200, 500)
    found = up.kept(answer["trace"], both)
    assert gateway.end() == ""
    exported = client.bundle(answer["trace"], settings=backend.settings).spans
    assert {span.resource.service for span in exported} == {"gateway-exported"}
    server, ask, call = (
        next(span for span in exported if span.scope == scope and not span.name.endswith("http send"))
        for scope in (f"{_CONTRIB}.fastapi", "gateway", f"{_CONTRIB}.httpx")
    )
    assert (server.parent_id, ask.parent_id, call.parent_id) == ("", server.span_id, ask.span_id)
    assert [event.name for event in ask.events] == ["asking"]
    twins = {span.span_id: span for span in found.spans.values() if span.resource.service == "gateway"}
    for span in exported:
        twin = twins[span.span_id]
        assert (twin.name, twin.kind, twin.status, twin.scope) == (span.name, span.kind, span.status, span.scope)
        assert twin.attributes == span.attributes
        assert abs(twin.start_ns - span.start_ns) < 1_000_000
    assert ancestors(found, scoped(found, "orders.prices", "price")) == WAY


def test_a_root_of_its_own_sdk_sent_to_the_same_server_stays_in_the_request(up: Up, service: Any) -> None:
    """What it exports says that the span has no parent; the recording knows better."""
    orders = service("orders", ORDERS)
    exporter = {"OTEL_EXPORTER_OTLP_ENDPOINT": up.otlp}
    gateway = service("gateway", OWN_SDK, GATEWAY, ORDERS=orders.url, **exporter)
    status, answer = gateway.get("/items/7")
    assert (status, answer["code"]) == (200, 500)
    up.kept(answer["trace"], both)
    assert gateway.end() == ""  # its exporter's come last
    found = up.kept(answer["trace"], both)
    assert ("aftertrace.asgi", "GET /items/{item}") in ancestors(found, scoped(found, "gateway", "ask"))
    assert ancestors(found, scoped(found, "orders.prices", "price"))[:3] == [WAY[0], WAY[2], WAY[3]]


def other_instrumentations() -> set[str]:
    """Those that are installed for other tests: some complain about the versions of what they instrument."""
    return {one.name for one in entry_points(group="opentelemetry_instrumentor")} - {"fastapi", "httpx"}


def test_opentelemetry_instrument_starts_what_is_recorded(up: Up, backend: Up, service: Any) -> None:
    orders = service("orders", ORDERS)
    env = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": backend.otlp,
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
        "OTEL_METRICS_EXPORTER": "none",
        "OTEL_LOGS_EXPORTER": "none",
        "OTEL_SERVICE_NAME": "gateway-exported",
        "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": ",".join(other_instrumentations()),
    }
    gateway = service(
        "gateway", GATEWAY, launcher=("opentelemetry-instrument", "--service_name", "auto"), ORDERS=orders.url, **env
    )
    status, answer = gateway.get("/items/7")
    assert (status, answer["code"]) == (200, 500)
    found = up.kept(answer["trace"], both)
    assert ancestors(found, scoped(found, "orders.prices", "price")) == WAY
    assert gateway.end() == ""
    exported = client.bundle(answer["trace"], settings=backend.settings).spans
    assert {span.resource.service for span in exported} == {"auto"}
    assert {"ask", "GET /items/{item}", "GET"} <= {span.name for span in exported}
    assert {span.span_id for span in exported} <= set(found.spans)
