"""Which services answered: from spans, recordings and what agents said."""

from aftertrace.explain import show, why
from aftertrace.explain.scene import coverage
from aftertrace.model import Resource, Span, SpanKind
from aftertrace.reconstruct.build import build
from aftertrace.show import show as show_text
from aftertrace.show import why as why_text
from aftertrace.show.console import Console
from aftertrace.wire import bundle
from aftertrace.wire.bundle import AgentPart, Coverage, TraceData

TRACE = "ab" * 16


def span(number, service, parent=0, kind=SpanKind.SERVER, **attributes):
    told = {name.replace("__", "."): value for name, value in attributes.items()}
    ids = (f"{number:016x}", f"{parent:016x}" if parent else "")
    return Span(TRACE, *ids, f"span {number}", kind, number, number + 100, Resource({"service.name": service}),
                attributes=told)  # fmt: skip


def asked(*agents, nothing=0):
    silent = sum(one.answered_s < 0 for one in agents)
    return Coverage(len(agents) + nothing, nothing, silent, list(agents))


def states(*spans, covered=None):
    return [
        (one.service, one.state) for one in coverage.services(build(TraceData(TRACE, list(spans), coverage=covered)))
    ]


def test_a_part_that_was_overwritten_is_told_though_no_span_of_it_is_there():
    lost = AgentPart("a1", "host-3", ["mailer"], overwritten=["mailer"], horizon_s=40.0, answered_s=0.1)
    found = build(TraceData(TRACE, [span(1, "front")], coverage=asked(lost, nothing=3)))
    told = coverage.told(found)
    assert told["missing"] == [
        {"service": "front", "state": "no-agent", "host": ""},
        {"service": "mailer", "state": "overwritten", "host": "host-3"},
    ]
    assert told["says"] == "0 of 2 services answered; `front` has no agent; `mailer` had already overwritten it"
    assert told["agents"] == {"asked": 4, "nothing": 3, "silent": 0}


def test_an_agent_that_did_not_answer_is_told_only_of_a_service_in_the_trace():
    quiet = AgentPart("a1", "host-3", ["mailer", "other"])
    assert states(span(1, "front"), span(2, "mailer", 1), covered=asked(quiet)) == [
        ("front", "no-agent"),
        ("mailer", "silent"),
    ]


def test_a_server_without_a_span_is_one_without_an_agent():
    call = {"kind": SpanKind.CLIENT, "server__address": "bank", "server__port": 443, "http__response__status_code": 200}
    assert states(span(1, "front"), span(2, "front", 1, **call)) == [("front", "no-agent"), ("bank:443", "no-agent")]
    assert states(span(1, "front"), span(2, "front", 1, **call), span(3, "bank", 2)) == [
        ("front", "no-agent"),
        ("bank", "no-agent"),
    ]
    refused = {**call}
    del refused["http__response__status_code"]  # nobody was there
    assert states(span(1, "front"), span(2, "front", 1, **refused)) == [("front", "no-agent")]
    database = {"kind": SpanKind.CLIENT, "server__address": "pg", "db__system__name": "postgresql"}
    assert states(span(1, "front"), span(2, "front", 1, **database)) == [("front", "no-agent")]


def test_answers_and_texts_say_it():
    lost = AgentPart("a1", "host-3", ["mailer"], overwritten=["mailer"], horizon_s=40.0, answered_s=0.1)
    found = build(TraceData(TRACE, [span(1, "front")], coverage=asked(lost)))
    console = Console(width=140)
    explained = why.why(found).to_json()
    assert explained["coverage"]["of"] == 2
    assert "`mailer` had already overwritten it" in why_text.render(explained, console)
    shown = show.shown(found, limit=10).to_json()
    assert shown["coverage"]["missing"][1]["service"] == "mailer"
    assert "`mailer` had already overwritten it" in show_text.render(shown, console)


def test_a_bundle_keeps_it():
    lost = AgentPart("a1", "host-3", ["mailer"], overwritten=["mailer"], horizon_s=40.0, answered_s=0.1)
    trace = TraceData(TRACE, [span(1, "front")], coverage=asked(lost))
    assert bundle.load(bundle.dump(trace)).coverage == trace.coverage
    assert bundle.load(bundle.dump(TraceData(TRACE))).coverage is None
