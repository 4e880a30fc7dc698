"""What people paste for an id is found in the real store."""

from __future__ import annotations

import json
import secrets
import urllib.parse

import pytest

from aftertrace.errors import Ambiguous, NotFound, UsageError
from aftertrace.store import reference

from .conftest import Maker


@pytest.fixture(scope="module")
def kept(store):
    """(trace id, span id) of a kept request, whose own id stands in an attribute."""
    made = Maker(secrets.token_hex(16))
    root = made.span("GET /", attributes={"http.request.header.x-request-id": ["req-7Qx.42/a"], "n": 5})
    store.add_spans([root])
    assert store.add_logs([made.keep()]) == []
    return made.trace_id, root.span_id


def explore(trace: str) -> str:
    """As Grafana writes it."""
    panes = {"x1a": {"datasource": "tempo", "queries": [{"refId": "A", "queryType": "traceql", "query": trace}]}}
    return f"https://g.example/explore?schemaVersion=1&panes={urllib.parse.quote(json.dumps(panes))}&orgId=1"


def forms(trace: str, span: str) -> dict[str, str]:
    uuid = "-".join((trace[:8], trace[8:12], trace[12:16], trace[16:20], trace[20:]))
    return {
        "digits": trace[:10].upper(),
        "span": span,
        "jaeger": f"http://jaeger.example:16686/trace/{trace}?uiFind={span}",
        "jaeger, capitals": f"http://jaeger.example:16686/trace/{trace.upper()}",
        "grafana": explore(trace),
        "grafana, quoted twice": urllib.parse.quote(explore(trace)),
        "grafana, left": "https://g.example/explore?left=" + urllib.parse.quote(json.dumps(["now-1h", "now", trace])),
        "sentry": f"https://org.sentry.io/explore/traces/trace/{trace}/?node=span-{span}&statsPeriod=24h",
        "traceparent": f"00-{trace}-{span}-01",
        "uuid": uuid,
        "uuid in braces": f"{{{uuid.upper()}}}",
        "log line": f"2026-11-25 02:13:07,412 ERROR [orders] [trace_id={trace} span_id={span}] KeyError: 'CH-'",
        "json log": json.dumps({"level": "error", "trace_id": trace, "msg": "no shelf", "sha": secrets.token_hex(16)}),
        "named among others": f"build {secrets.token_hex(16)} traceId: {trace} etag {secrets.token_hex(16)}",
        "span in a log line": f"span={span} failed",
        "request": "req-7Qx.42/a",
        "with blanks": f"\n  {trace}\t",
    }


@pytest.mark.parametrize("form", forms("ab" * 16, "cd" * 8))
def test_every_form_finds_the_request(store, kept, form):
    assert store.resolve(forms(*kept)[form]) == kept[0]


def test_of_several_that_are_known_the_one_that_is_called_a_trace_id_is_meant(store, kept):
    other = Maker(secrets.token_hex(16))
    store.add_spans([other.span("x")])
    assert store.resolve(f"{other.trace_id} trace_id={kept[0]}") == kept[0]
    with pytest.raises(Ambiguous) as caught:
        store.resolve(f"{other.trace_id} and {kept[0]}")
    assert kept[0] in caught.value.hint


@pytest.mark.parametrize(
    "unknown",
    ["req-8xyz", "http://jaeger.example/trace/" + "12" * 16, "00-" + "0" * 32 + "-" + "0" * 16 + "-00", "x" * 150],
)
def test_what_nobody_knows(store, kept, unknown):  # there is something else to find
    with pytest.raises(NotFound):
        store.resolve(unknown)


@pytest.mark.parametrize("text", ["", "   ", "a b c", "%", "%zz%25", "ERROR no id here", "é" * 1000, "x" * 100_000])
def test_what_holds_no_id(store, text):
    with pytest.raises((UsageError, NotFound)) as caught:
        store.resolve(text)
    assert len(caught.value.message) < 200


def test_an_attribute_s_name_or_part_is_no_request_s_id(store, kept):
    for part in ("req-7Qx", "x-request-id"):
        with pytest.raises(NotFound):
            store.resolve(part)


def test_ids_in_texts_of_any_kind():
    assert reference.traces("%25" * 10_000) == []
    assert reference.traces("0" * 32) == []
    assert reference.traces("a" * 33) == []
    assert reference.spans("x" + "a" * 16) == []
    assert reference.word("two words") == ""
