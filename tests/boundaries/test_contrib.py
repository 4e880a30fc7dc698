"""Beside OpenTelemetry: what it suppresses is not seen, and what its instrumentations see is not seen twice."""

from __future__ import annotations

from typing import Any

import pytest

from .conftest import CLIENT, CONSUMER, PRODUCER, SERVER, Runner
from .test_urllib3 import SERVE
from .test_wsgi import ASK, FRAMEWORKS

OURS = "aftertrace."
SDK = """
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
provider = TracerProvider()
trace.set_tracer_provider(provider)
"""


def scopes(ran: Any, kind: int) -> list[str]:
    """Who made the spans of a kind, outermost first where they nest."""
    return [span.scope.removeprefix("opentelemetry.instrumentation.") for span in ran.recorded.of(kind)]


def test_suppressed_calls_make_no_spans_and_carry_nothing(runner: Runner):
    ran = runner.good(
        SERVE
        + """
import httpx
from opentelemetry import context
from opentelemetry.instrumentation.utils import suppress_instrumentation
from opentelemetry.context import _SUPPRESS_INSTRUMENTATION_KEY
def calls(path):
    requests.get(base + path); urllib3.PoolManager().request("GET", base + path); httpx.get(base + path)
with suppress_instrumentation(): calls("/a")
token = context.attach(context.set_value("suppress_instrumentation", True)); calls("/b"); context.detach(token)
token = context.attach(context.set_value(_SUPPRESS_INSTRUMENTATION_KEY, True)); calls("/c"); context.detach(token)
assert len(got) == 9 and not any("traceparent" in dict(headers) for _, headers in got), got
calls("/d")
assert len(got) == 12 and all("traceparent" in dict(headers) for _, headers in got[9:])
"""
    )
    assert len(ran.recorded.of(CLIENT)) == 3


def test_the_exporter_of_a_programs_sdk_is_not_seen(runner: Runner):
    ran = runner.good(
        SERVE
        + SDK
        + """
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor
for processor in BatchSpanProcessor, SimpleSpanProcessor:
    provider.add_span_processor(processor(OTLPSpanExporter(endpoint=base + "/v1/traces")))
with trace.get_tracer("t").start_as_current_span("mine"): pass
provider.shutdown()
assert [path for path, _ in got] == ["/v1/traces"] * 2, got
assert not any("traceparent" in dict(headers) for _, headers in got)
"""
    )
    assert [span.name for span in ran.recorded.spans] == ["mine"]


@pytest.mark.parametrize("sdk", [False, True])
def test_clients(runner: Runner, sdk: bool):
    ran = runner.good(
        SERVE
        + (SDK if sdk else "")
        + """
from opentelemetry.instrumentation.requests import RequestsInstrumentor
from opentelemetry.instrumentation.urllib3 import URLLib3Instrumentor
RequestsInstrumentor().instrument()
requests.get(base + "/redirect"); urllib3.PoolManager().request("GET", base + "/ours")
URLLib3Instrumentor().instrument()
requests.get(base + "/x"); urllib3.PoolManager().request("GET", base + "/y")
RequestsInstrumentor().uninstrument()
requests.get(base + "/z")
print(json.dumps([dict(headers)["traceparent"][36:52] for _, headers in got]))
"""
    )
    assert scopes(ran, CLIENT) == ["requests", "aftertrace.urllib3", "requests", "urllib3", "urllib3"]
    sent = [span.id for span in ran.recorded.of(CLIENT)]
    assert ran.answer == [sent[0], *sent]  # the redirect's in the call's


INSTRUMENTED = """
from opentelemetry.instrumentation.flask import FlaskInstrumentor
from opentelemetry.instrumentation.wsgi import OpenTelemetryMiddleware
from werkzeug.middleware.proxy_fix import ProxyFix
def plain(environ, start_response): start_response("200 OK", []); return [b"x"]
FlaskInstrumentor().instrument_app(shop)
for app in shop, ProxyFix(shop), OpenTelemetryMiddleware(plain): assert ask(app, "/users/7")[0] == "200 OK"
assert ask(shop, "/boom")[0][:3] == "500"
assert ask(plain)[0] == ask(site, "/denied")[0].replace("403 Forbidden", "200 OK")
"""


def test_servers_whose_instrumentation_uses_our_provider_have_one_span(runner: Runner):
    ran = runner.good(ASK + FRAMEWORKS + INSTRUMENTED)
    wanted = ["flask", "flask", "wsgi", "flask", "aftertrace.wsgi", "aftertrace.wsgi"]
    assert scopes(ran, SERVER) == wanted
    assert not any(span.parent for span in ran.recorded.of(SERVER))


def test_beside_an_sdk_whose_sampler_drops_ours_stays_around(runner: Runner):
    ran = runner.good(ASK + FRAMEWORKS + SDK + INSTRUMENTED)
    both = [
        "aftertrace.wsgi",
        "flask",
        "aftertrace.wsgi",
        "flask",
        "aftertrace.wsgi",
        "wsgi",
        "aftertrace.wsgi",
        "flask",
    ]
    assert scopes(ran, SERVER) == [*both, "aftertrace.wsgi", "aftertrace.wsgi"]
    spans = ran.recorded.of(SERVER)
    assert [inner.parent for inner in spans[1:8:2]] == [outer.id for outer in spans[0:8:2]]
    dropping = SDK.replace("TracerProvider()", "TracerProvider(sampler=sampling.ALWAYS_OFF)").replace(
        "import TracerProvider\n", "import TracerProvider, sampling\n"
    )
    ran = runner.good(ASK + FRAMEWORKS + dropping + INSTRUMENTED)
    assert scopes(ran, SERVER) == ["aftertrace.wsgi"] * 6
    assert ran.recorded.of(SERVER)[3].attributes["error.type"] == "KeyError"


def test_django(runner: Runner):
    program = (
        ASK
        + FRAMEWORKS.replace("site = get_wsgi_application()", "from opentelemetry.instrumentation.django import *")
        + """
DjangoInstrumentor().instrument()
site = get_wsgi_application()
assert ask(site, "/orders/7/")[0] == "200 OK"
DjangoInstrumentor().uninstrument()
assert ask(get_wsgi_application(), "/orders/7/")[0] == "200 OK"
"""
    )
    assert scopes(runner.good(program), SERVER) == ["django", "aftertrace.wsgi"]


@pytest.mark.parametrize("sdk", [False, True])
def test_celery(runner: Runner, sdk: bool):
    ran = runner.good(
        (SDK if sdk else "")
        + """
from celery import Celery
from opentelemetry.instrumentation.celery import CeleryInstrumentor
app = Celery("m", broker="memory://", backend="cache+memory://")
@app.task
def work(n): return n
CeleryInstrumentor().instrument()
work.delay(1)
assert work.apply((2,)).get() == 2
CeleryInstrumentor().uninstrument()
work.delay(3)
"""
    )
    assert scopes(ran, PRODUCER) == ["celery", "aftertrace.celery"]
    assert scopes(ran, CONSUMER) == (["aftertrace.celery", "celery"] if sdk else ["celery"])
