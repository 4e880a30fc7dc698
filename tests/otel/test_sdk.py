"""Beside a program's own SDK: what it exports is what it exported without us, and its spans are in the recording."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from otel_programs import Run, Runner

SDK = """
        from opentelemetry import context, propagate, trace
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import SimpleSpanProcessor
        from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
        from opentelemetry.sdk.trace import sampling
        exporter = InMemorySpanExporter()
        def begin(**more):
            provider = TracerProvider(shutdown_on_exit=False, **more)
            provider.add_span_processor(SimpleSpanProcessor(exporter))
            trace.set_tracer_provider(provider)
            answers["global"] = trace.get_tracer_provider() is provider
            return provider
        def told():
            answers["exported"] = [
                [s.name, format(s.context.trace_id, "032x"), format(s.context.span_id, "016x"),
                 format(s.parent.span_id, "016x") if s.parent else "", s.kind.name]
                for s in exporter.get_finished_spans()]
"""


def exported(seen: Run) -> dict[str, list[str]]:
    return {line[0]: line[1:] for line in seen.answers["exported"]}


def test_it_stays_global_and_its_spans_have_twins_of_the_same_ids(run: Runner) -> None:
    seen = run(
        SDK
        + """
        early = trace.get_tracer("early")
        begin()
        late = trace.get_tracer("late", "2")
        with early.start_as_current_span("outer", attributes={"a": 1}) as outer:
            answers["sdk"] = [type(outer).__module__, trace.get_current_span() is outer]
            with late.start_as_current_span("inner", kind=trace.SpanKind.CLIENT) as inner:
                inner.set_attribute("b", [1, 2])
                inner.add_event("tick", {"n": 1})
                inner.set_status(trace.Status(trace.StatusCode.ERROR, "no stock"))
                inner.update_name("renamed")
                answers["here"] = format(_native.current().span_id, "016x")
        answers["after"] = _native.current() is None
        told()
        """
    )
    assert seen.answers["global"]
    assert seen.answers["sdk"] == ["opentelemetry.sdk.trace", True]
    theirs = exported(seen)
    for name in ("outer", "renamed"):
        twin = seen[name]
        assert [twin.trace_id, twin.span_id, twin.parent_id] == theirs[name][:3]
        assert twin.ended
    assert seen["outer"].attributes == {"a": 1}
    inner = seen["renamed"]
    assert (inner.kind, inner.scope, inner.attributes["b"], inner.status) == (3, "late", [1, 2], (2, "no stock"))
    assert inner.events == [("tick", {"n": 1})]
    assert not inner.remote
    assert (seen.answers["here"], seen.answers["after"]) == (inner.span_id, True)


def test_a_request_is_one_trace_on_both_sides(run: Runner) -> None:
    """The SDK's root in a boundary's span stays a root in what it exports; here it hangs below that span."""
    seen = run(
        SDK
        + """
        begin()
        tracer = trace.get_tracer("t")
        boundary = _native.Span("GET /", 2, None)
        token = _native.attach(boundary)
        answers["invisible"] = trace.get_current_span() is trace.INVALID_SPAN
        with tracer.start_as_current_span("handler"):
            tracer.start_span("another root", context=context.Context()).end()
            call = _native.Span("GET", 3)
            within = _native.attach(call)
            tracer.start_span("instrumented", kind=trace.SpanKind.CLIENT).end()
            other = tracer.start_span("explicit", context=trace.set_span_in_context(trace.get_current_span()))
            other.end()
            _native.detach(within)
            call.end()
        answers["back"] = _native.current() is boundary
        _native.detach(token)
        boundary.end()
        tracer.start_span("elsewhere").end()
        told()
        """
    )
    theirs, boundary = exported(seen), seen["GET /"]
    assert (theirs["handler"][0], theirs["handler"][2]) == (boundary.trace_id, "")
    assert seen["handler"].parent_id == boundary.span_id
    assert seen["GET"].parent_id == seen["handler"].span_id
    assert theirs["instrumented"][2] == theirs["explicit"][2] == theirs["handler"][1]
    assert seen["instrumented"].parent_id == seen["GET"].span_id
    assert seen["explicit"].parent_id == seen["handler"].span_id
    assert seen.answers["invisible"]
    assert seen.answers["back"]
    assert len({boundary.trace_id, theirs["another root"][0], theirs["elsewhere"][0]}) == 3


def test_an_instrumentation_s_server_span_is_the_same_child_of_the_caller(run: Runner) -> None:
    seen = run(
        SDK
        + """
        begin()
        incoming = {"traceparent": f"00-{7:032x}-{9:016x}-01"}
        boundary = _native.Span("GET /", 2, (7, 9, 1, ""))
        token = _native.attach(boundary)
        attached = context.attach(propagate.extract(incoming))
        with trace.get_tracer("contrib").start_as_current_span("server", kind=trace.SpanKind.SERVER):
            pass
        context.detach(attached)
        _native.detach(token)
        told()
        """
    )
    assert exported(seen)["server"][0] == f"{7:032x}"
    assert exported(seen)["server"][2:] == [f"{9:016x}", "SERVER"]
    assert seen["server"].parent_id == seen["GET /"].span_id


def test_the_program_s_own_ids_are_left_alone(run: Runner) -> None:
    seen = run(
        SDK
        + """
        from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
        class Mine(RandomIdGenerator):
            def generate_trace_id(self): return 4711
        provider = begin(id_generator=Mine())
        answers["kept"] = type(provider.id_generator) is Mine
        boundary = _native.Span("boundary", 2, None)
        token = _native.attach(boundary)
        with trace.get_tracer("t").start_as_current_span("s"):
            answers["trace"] = _native.current().trace_id
        _native.detach(token)
        told()
        """
    )
    assert seen.answers["kept"]
    assert seen.answers["trace"] == 4711
    assert seen["s"].trace_id == exported(seen)["s"][0] == f"{4711:032x}"


def test_spans_that_its_sampler_dropped(run: Runner) -> None:
    seen = run(
        SDK
        + """
        from aftertrace.record import propagation
        def out():
            carrier = {}
            with _native.Span("call", 3) as call:
                propagation.write(call, carrier)
            return carrier["traceparent"][-2:]
        begin(sampler=sampling.ALWAYS_OFF)
        boundary = _native.Span("boundary", 2, None)
        token = _native.attach(boundary)
        with trace.get_tracer("t").start_as_current_span("dropped") as span:
            answers["dropped"] = [span.is_recording(), span.get_span_context().trace_id == boundary.trace_id]
            answers["here"] = _native.current() is boundary
            answers["out"] = out()
            with trace.get_tracer("t").start_as_current_span("below"):
                answers["below"] = out()
        answers["left"], answers["after"] = propagation.remote.get(), out()
        _native.detach(token)
        told()
        """
    )
    assert seen.answers["dropped"] == [False, True]
    assert seen.answers["here"]
    assert (seen.answers["out"], seen.answers["below"], seen.answers["after"]) == ("02", "02", "03")
    assert (seen.answers["left"], seen.answers["exported"]) == (None, [])


def test_a_dropped_span_with_an_id_of_its_provider_s_own_stays_in_the_request(run: Runner) -> None:
    """Ids that mean something (AWS X-Ray's begin with the time), and a sampler that drops most requests."""
    seen = run(
        SDK
        + """
        from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
        from aftertrace.record import propagation
        class Mine(RandomIdGenerator):
            def generate_trace_id(self): return 4711
        begin(id_generator=Mine(), sampler=sampling.ALWAYS_OFF)
        boundary = _native.Span("boundary", 2, (7, 9, 1, "a=1"))
        token = _native.attach(boundary)
        with trace.get_tracer("t").start_as_current_span("dropped"):
            answers["here"] = _native.current() is boundary
            carrier = {}
            propagation.write(boundary, carrier)
            answers["out"] = carrier["traceparent"]
            incoming = context.attach(propagate.extract({"traceparent": f"00-{5:032x}-{6:016x}-01"}))
            answers["another"] = _native.current() is None
            context.detach(incoming)
        answers["back"] = _native.current() is boundary
        _native.detach(token)
        """
    )
    assert seen.answers["here"]
    assert seen.answers["out"] == f"00-{7:032x}-{seen['boundary'].span_id}-00"
    assert seen.answers["another"]
    assert seen.answers["back"]


@pytest.mark.parametrize(
    ("sampler", "roots", "follows"),
    [
        ("sampling.ALWAYS_OFF", 0.0, False),
        ("sampling.ParentBased(sampling.ALWAYS_OFF)", 0.0, True),
        ("sampling.ParentBased(sampling.TraceIdRatioBased(0.25))", 0.25, True),
        ("sampling.TraceIdRatioBased(0.5)", 0.5, False),
        ("sampling.ALWAYS_ON", 1.0, False),
        ("Mine()", 0.125, True),
        ("sampling.ParentBased(Mine())", 0.125, True),
    ],
)
def test_what_goes_out_of_requests_that_the_sdk_does_not_see_follows_its_sampler(
    run: Runner, sampler: str, roots: float, follows: bool
) -> None:
    """A sampler of the program's own is not asked: the environment says."""
    seen = run(
        SDK
        + f"""
        from aftertrace.record import propagation
        class Mine(sampling.Sampler):
            def should_sample(self, *a, **k): raise AssertionError
            def get_description(self): raise AssertionError
        begin(sampler={sampler})
        answers["sampler"] = [propagation.sampler.share, propagation.sampler.follows_parent]
        """,
        env={"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.125"},
    )
    assert seen.answers["sampler"] == [roots, follows]


def test_a_provider_taken_away_and_another_as_test_suites_do(run: Runner) -> None:
    seen = run(
        SDK
        + """
        from opentelemetry.util._once import Once
        early = trace.get_tracer("early")
        first = begin()
        early.start_span("first").end()
        trace._TRACER_PROVIDER, trace._TRACER_PROVIDER_SET_ONCE = None, Once()
        early.start_span("between").end()
        trace.get_tracer("late").start_span("between too").end()
        exporter = InMemorySpanExporter()
        second = begin()
        early.start_span("second").end()
        told()
        answers["second"] = trace.get_tracer_provider() is second
        """
    )
    assert [line[0] for line in seen.answers["exported"]] == ["second"]
    assert seen.answers["second"]
    assert [span.name for span in seen.spans] == ["first", "between", "between too", "second"]
    assert all(span.ended for span in seen.spans)


def test_a_provider_that_is_passed_around_and_never_global(run: Runner) -> None:
    """As one instrumentation's own. What it exports knows nothing of us, nor of the API's spans, which are ours."""
    seen = run(
        SDK
        + """
        provider = TracerProvider(shutdown_on_exit=False, sampler=sampling.ALWAYS_ON)
        provider.add_span_processor(SimpleSpanProcessor(exporter))
        theirs, ours = trace.get_tracer("theirs", tracer_provider=provider), trace.get_tracer("ours")
        boundary = _native.Span("boundary", 2, None)
        token = _native.attach(boundary)
        with theirs.start_as_current_span("outer") as outer:
            with ours.start_as_current_span("between"):
                answers["current"] = trace.get_current_span() is outer
                with theirs.start_as_current_span("inner"):
                    answers["here"] = format(_native.current().span_id, "016x")
        answers["back"] = _native.current() is boundary
        _native.detach(token)
        ours.start_span("alone").end()
        answers["processors"] = len(provider._active_span_processor._span_processors)
        provider.get_tracer("again")
        answers["after"] = len(provider._active_span_processor._span_processors)
        told()
        """
    )
    theirs = exported(seen)
    assert list(theirs) == ["inner", "outer"]
    assert (theirs["outer"][2], theirs["inner"][2]) == ("", theirs["outer"][1])
    assert seen.answers["current"]
    assert seen.answers["here"] == theirs["inner"][1]
    chain = [seen[name] for name in ("inner", "between", "outer", "boundary")]
    assert [span.parent_id for span in chain] == [*(span.span_id for span in chain[1:]), ""]
    assert len({span.trace_id for span in chain}) == 1
    assert seen["alone"].ended
    assert seen.answers["back"]
    assert seen.answers["processors"] == seen.answers["after"] == 2


def test_twins_live_as_long_as_their_spans_and_are_not_exported(run: Runner) -> None:
    seen = run(
        SDK
        + """
        import gc
        from aftertrace.record.otel_context import Mirrored
        provider = begin()
        tracer = trace.get_tracer("t")
        def held():
            gc.collect()
            return sum(type(one) is Mirrored for one in gc.get_objects())
        kept = [tracer.start_span("s", attributes={"a": 1}) for _ in range(100)]
        answers["open"] = held()
        del kept
        answers["dropped"] = held()
        for _ in range(100):
            tracer.start_span("ended", attributes={"a": 1}).end()
        answers["ended"] = held()
        spans = exporter.get_finished_spans()
        answers["exported"] = [len(spans), dict(spans[0].attributes), spans[0].to_json().count("aftertrace")]
        """
    )
    assert (seen.answers["open"], seen.answers["dropped"], seen.answers["ended"]) == (100, 0, 0)
    assert seen.answers["exported"] == [100, {"a": 1}, 0]


def test_what_was_set_since_the_start_is_told_once(run: Runner) -> None:
    seen = run(
        SDK
        + """
        begin()
        span = trace.get_tracer("t").start_span("s", attributes={"same": "x", "changed": 1, "l": [1, 2]})
        span.set_attribute("changed", 2)
        span.set_attribute("new", [True, False])
        span.add_link(trace.SpanContext(0xabc, 0xdef, True), {"why": "late"})
        span.end()
        """
    )
    assert seen["s"].attributes == {"same": "x", "changed": 2, "l": [1, 2], "new": [True, False]}
    assert seen["s"].links == [(f"{0xABC:032x}", f"{0xDEF:016x}")]
    assert seen.answers["refused"] == 0
    assert seen["s"].set_later == ["changed", "new"]


def test_a_provider_that_takes_no_processors_is_said(run: Runner) -> None:
    seen = run(
        """
        from opentelemetry import trace
        trace.set_tracer_provider(trace.NoOpTracerProvider())
        with trace.get_tracer("t").start_as_current_span("s") as span:
            answers["recording"] = span.is_recording()
        """
    )
    assert seen.answers["recording"] is False
    assert seen.spans == []
    lines = {name: detail for name, _, detail in seen.answers["report"]}
    assert "NoOpTracerProvider are not seen" in lines["opentelemetry.trace"]


def test_a_second_provider_is_refused_with_the_api_s_own_warning(run: Runner) -> None:
    seen = run(
        SDK
        + """
        import logging
        logging.getLogger("opentelemetry").setLevel(logging.ERROR)
        first = begin()
        trace.set_tracer_provider(TracerProvider(shutdown_on_exit=False))
        answers["first"] = trace.get_tracer_provider() is first
        with trace.get_tracer("t").start_as_current_span("s"):
            pass
        """
    )
    assert seen.answers["first"]
    assert seen["s"].ended


# -- the real exporter, with and without us

PROGRAM = """
import json
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
provider = TracerProvider()
provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint="{url}/v1/traces")))
trace.set_tracer_provider(provider)
tracer = trace.get_tracer("shop", "1")
def work():
    with tracer.start_as_current_span("outer", kind=trace.SpanKind.SERVER, attributes={{"n": 1}}) as span:
        span.add_event("tick")
        try:
            with tracer.start_as_current_span("inner"):
                raise ValueError("bad")
        except ValueError:
            pass
work()
assert provider.force_flush()
provider.shutdown()
"""


@pytest.fixture
def collector() -> Iterator[tuple[str, list[ExportTraceServiceRequest]]]:
    received: list[ExportTraceServiceRequest] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            received.append(ExportTraceServiceRequest.FromString(body))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}", received
    server.shutdown()
    thread.join()
    server.server_close()


def shape(requests: list[ExportTraceServiceRequest]) -> list[object]:
    """All that was exported, but for what is random (ids) or time."""
    found: list[object] = []
    for request in requests:
        for resource in request.resource_spans:
            for scope in resource.scope_spans:
                names = {span.span_id: span.name for span in scope.spans}
                found += [
                    [
                        *(scope.scope.name, scope.scope.version, span.name, span.kind, span.flags, span.trace_state),
                        names.get(span.parent_span_id, "none" if not span.parent_span_id else "unknown"),
                        sorted((a.key, a.value.SerializeToString()) for a in span.attributes),
                        [(e.name, sorted(a.key for a in e.attributes)) for e in span.events],
                        (span.status.code, span.status.message, len(span.links)),
                    ]
                    for span in scope.spans
                ]
    return sorted(found, key=repr)


def test_the_real_exporter_sends_the_same_with_and_without_us(
    run: Runner, collector: tuple[str, list[ExportTraceServiceRequest]], tmp_path: Path
) -> None:
    url, received = collector
    script = tmp_path / "bare.py"
    script.write_text(PROGRAM.format(url=url))
    subprocess.run([sys.executable, "-P", str(script)], check=True, timeout=60)
    bare = shape(received)
    received.clear()
    seen = run(PROGRAM.format(url=url))
    assert len(bare) == 2
    assert shape(received) == bare, json.dumps(shape(received), default=str)
    ids = {span.span_id.hex() for r in received for s in r.resource_spans[0].scope_spans for span in s.spans}
    assert ids <= {span.span_id for span in seen.spans}
    assert seen["inner"].status == (2, "ValueError: bad")
    assert seen["inner"].events[0][1]["exception.type"] == "ValueError"
