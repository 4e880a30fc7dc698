"""The API's spans as native ones: what plain OpenTelemetry code records when the program has no SDK."""

from __future__ import annotations

import tomllib
from pathlib import Path

from otel_programs import Runner


def test_spans_nest_and_say_what_was_set(run: Runner) -> None:
    seen = run("""
        from opentelemetry import trace
        from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags
        tracer = trace.get_tracer("shop.checkout", "1.2")
        link = Link(SpanContext(0xabc, 0xdef, True, TraceFlags(1)), {"why": "retry"})
        with tracer.start_as_current_span("outer", kind=SpanKind.SERVER, attributes={"a": 1, "l": [1, 2]}) as outer:
            with tracer.start_as_current_span("inner", links=[link]) as inner:
                inner.set_attribute("b", "x")
                inner.add_event("tick", {"n": 2})
                inner.set_status(Status(StatusCode.ERROR, "no stock"))
                answers["recording"] = [outer.is_recording(), inner.is_recording()]
            answers["after"] = inner.is_recording()
            outer.update_name("renamed")
        """)
    outer, inner = seen["renamed"], seen["inner"]
    assert (outer.kind, inner.kind, outer.parent_id, inner.parent_id) == (2, 1, "", outer.span_id)
    assert outer.trace_id == inner.trace_id
    assert (outer.scope, outer.attributes) == ("shop.checkout", {"a": 1, "l": [1, 2]})
    assert (inner.attributes, inner.events, inner.status) == ({"b": "x"}, [("tick", {"n": 2})], (2, "no stock"))
    assert inner.links == [(f"{0xABC:032x}", f"{0xDEF:016x}")]
    assert outer.ended
    assert inner.ended
    assert (seen.answers["recording"], seen.answers["after"], seen.answers["refused"]) == ([True, True], False, 0)


def test_an_exception_is_recorded_once_and_passes_unchanged(run: Runner) -> None:
    seen = run("""
        from opentelemetry import trace
        tracer = trace.get_tracer("t")
        error = ValueError("bad cart")
        try:
            with tracer.start_as_current_span("outer"):
                with tracer.start_as_current_span("silent", record_exception=False, set_status_on_exception=False):
                    with tracer.start_as_current_span("open", end_on_exit=False) as left_open:
                        raise error
        except ValueError as caught:
            answers["same"] = caught is error
        answers["open"] = left_open.is_recording()
        answers["current"] = trace.get_current_span() is trace.INVALID_SPAN
        """)
    assert seen["outer"].status == (2, "ValueError: bad cart")
    exception = ("exception", {"exception.type": "ValueError", "exception.message": "bad cart"})
    assert seen["outer"].events == [exception]
    assert (seen["silent"].status, seen["silent"].events) == ((0, ""), [])
    assert (seen["open"].status[0], len(seen["open"].events), seen["open"].ended) == (2, 1, False)
    assert (seen.answers["same"], seen.answers["open"], seen.answers["current"]) == (True, True, True)


def test_what_only_ends_a_task_is_no_error(run: Runner) -> None:
    seen = run("""
        import asyncio
        from opentelemetry import trace
        tracer = trace.get_tracer("t")
        async def wait():
            with tracer.start_as_current_span("cancelled"):
                await asyncio.sleep(9)
        async def main():
            task = asyncio.create_task(wait())
            await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
        asyncio.run(main())
        def generate():
            with tracer.start_as_current_span("closed"):
                yield 1
        steps = generate(); next(steps); steps.close()
        """)
    for name in ("cancelled", "closed"):
        assert (seen[name].status, seen[name].events, seen[name].ended) == ((0, ""), [], True)


def test_the_exception_s_code_does_not_run(run: Runner) -> None:
    run("""
        from opentelemetry import trace
        class Meta(type):
            def __getattribute__(cls, name):
                if name in {"__qualname__", "__module__", "__name__"}:
                    raise AssertionError(name)
                return type.__getattribute__(cls, name)
        class Hostile(Exception, metaclass=Meta):
            def __str__(self):
                raise AssertionError("str")
            __repr__ = __str__
        try:
            with trace.get_tracer("t").start_as_current_span("s"):
                raise Hostile
        except Hostile:
            pass
        """)


def test_as_a_decorator(run: Runner) -> None:
    seen = run("""
        import asyncio, inspect
        from opentelemetry import trace
        tracer = trace.get_tracer("t")
        @tracer.start_as_current_span("plain")
        def double(n: int) -> int:
            "Twice."
            return 2 * n
        @tracer.start_as_current_span("async")
        async def slowly(n: int) -> int:
            await asyncio.sleep(0)
            return trace.get_current_span().get_span_context().span_id
        answers["double"] = [double(2), double(3), double.__doc__, str(inspect.signature(double))]
        answers["slowly"] = format(asyncio.run(slowly(1)), "016x")
        """)
    assert seen.answers["double"] == [4, 6, "Twice.", "(n: int) -> int"]
    assert len([span for span in seen.spans if span.name == "plain" and span.ended]) == 2
    assert seen.answers["slowly"] == seen["async"].span_id


def test_parents_out_of_a_context(run: Runner) -> None:
    seen = run("""
        from opentelemetry import context, propagate, trace
        from opentelemetry.context import Context
        tracer = trace.get_tracer("t")
        incoming = {"traceparent": f"00-{7:032x}-{9:016x}-00", "tracestate": "a=1,b=2"}
        with tracer.start_as_current_span("here"):
            tracer.start_span("new root", context=Context()).end()
            below = tracer.start_span("remote child", context=propagate.extract(incoming))
            tracer.start_span("grandchild", context=trace.set_span_in_context(below)).end()
            out = {}
            propagate.inject(out, trace.set_span_in_context(below))
            below.end()
        answers["out"] = out
        token = context.attach(propagate.extract(incoming))
        tracer.start_span("within").end()
        context.detach(token)
        tracer.start_span("outside").end()
        """)
    remote = seen["remote child"]
    assert (remote.trace_id, remote.parent_id, remote.flags, remote.remote) == (f"{7:032x}", f"{9:016x}", 0, True)
    assert (seen["grandchild"].parent_id, seen["grandchild"].remote) == (remote.span_id, False)
    assert seen.answers["out"] == {"traceparent": f"00-{7:032x}-{remote.span_id}-00", "tracestate": "a=1,b=2"}
    assert (seen["within"].trace_id, seen["within"].parent_id) == (f"{7:032x}", f"{9:016x}")
    assert seen["new root"].parent_id == seen["outside"].parent_id == ""
    assert len({seen[name].trace_id for name in ("here", "new root", "outside", "within")}) == 4


def test_bad_arguments_never_raise(run: Runner) -> None:
    seen = run(
        """
        from opentelemetry import trace
        tracer = trace.get_tracer(None)
        for kind in ("server", None, 3):
            answers["invalid"] = tracer.start_span("s", kind=kind) is trace.INVALID_SPAN
        with tracer.start_as_current_span(object(), attributes=3, start_time="x") as span:
            span.set_attribute(3, object())
            span.set_status("bad")
        with tracer.start_as_current_span("s", kind="bad") as nothing:
            nothing.set_attribute("a", 1)
        """,
        failures=4,
    )
    assert seen.answers["invalid"] is True


def declared(home: Path) -> dict[str, str]:
    """The entry points of pyproject.toml, as an installer writes them (an editable install may have older ones)."""
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    metadata = home / "declared" / "declared-0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Name: declared\nVersion: 0\n")
    groups = {group: points for group, points in project["entry-points"].items() if group.startswith("opentelemetry_")}
    lines = [f"[{group}]\n" + "".join(f"{k} = {v}\n" for k, v in points.items()) for group, points in groups.items()]
    (metadata / "entry_points.txt").write_text("\n".join(lines))
    return {"PYTHONPATH": str(metadata.parent)}


def test_our_provider_waits_like_the_proxy(run: Runner) -> None:
    """Programs and libraries ask for the proxy, or for an SDK's methods, to know whether tracing has been set up."""
    seen = run("""
        from opentelemetry import trace
        provider = trace.get_tracer_provider()
        answers["proxy"] = isinstance(provider, trace.ProxyTracerProvider)
        answers["more"] = sorted(set(dir(provider)) - set(dir(trace.ProxyTracerProvider())))
        with provider.get_tracer("t").start_as_current_span("s") as span:
            answers["is span"] = isinstance(span, trace.Span)
        """)
    assert seen.answers["proxy"]
    assert seen.answers["is span"]
    assert seen.answers["more"] == []


def test_a_provider_that_was_chosen_shows_processors_an_sdk_s_spans(run: Runner, tmp_path: Path) -> None:
    seen = run(
        """
        from opentelemetry import trace
        from opentelemetry.sdk.trace import ReadableSpan
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
        provider, exporter = trace.get_tracer_provider(), InMemorySpanExporter()
        answers["proxy"] = isinstance(provider, trace.ProxyTracerProvider)
        tracer = trace.get_tracer("shop")
        with tracer.start_as_current_span("before"):
            answers["flushed"] = provider.force_flush(50)
        provider.add_span_processor(BatchSpanProcessor(exporter))
        with tracer.start_as_current_span("after", attributes={"a": 1}) as span:
            answers["current"] = trace.get_current_span() is span
            tracer.start_span("below").end()
        answers["flushed"] = answers["flushed"] and provider.force_flush(5000)
        answers["exported"] = [[s.name, dict(s.attributes), s.instrumentation_scope.name, type(s) is ReadableSpan]
                               for s in exporter.get_finished_spans()]
        provider.shutdown()
        """,
        env={"OTEL_PYTHON_TRACER_PROVIDER": "aftertrace"} | declared(tmp_path),
    )
    assert not seen.answers["proxy"]
    assert seen.answers["flushed"]
    assert seen.answers["exported"] == [["below", {}, "shop", True], ["after", {"a": 1}, "shop", True]]
    assert {"before", "after", "below"} <= {span.name for span in seen.spans if span.ended}
    assert seen["below"].parent_id == seen["after"].span_id


def test_chosen_by_the_environment(run: Runner, tmp_path: Path) -> None:
    seen = run(
        """
        from opentelemetry import context, trace
        with trace.get_tracer("t").start_as_current_span("s") as span:
            answers["current"] = trace.get_current_span() is span
        answers["kinds"] = [type(trace.get_tracer_provider()).__module__, type(context._RUNTIME_CONTEXT).__module__]
        """,
        env={
            "OTEL_PYTHON_TRACER_PROVIDER": "aftertrace",
            "OTEL_PYTHON_CONTEXT": "aftertrace",
        }
        | declared(tmp_path),
    )
    assert seen.answers["current"]
    assert seen.answers["kinds"] == ["aftertrace.record.otel", "aftertrace.record.otel_context"]
    assert seen["s"].ended


def test_sampling_decides_what_goes_out_not_what_is_recorded(run: Runner) -> None:
    program = """
        from opentelemetry import propagate, trace
        tracer = trace.get_tracer("t")
        def out(name, **more):
            with tracer.start_as_current_span(name, **more):
                carrier = {}
                propagate.inject(carrier)
                answers[name] = carrier["traceparent"][-2:]
        out("root")
        out("sampled", context=propagate.extract({"traceparent": f"00-{7:032x}-{9:016x}-01"}))
        out("dropped", context=propagate.extract({"traceparent": f"00-{7:032x}-{9:016x}-00"}))
        """
    expected = {  # a root's trace id is random (02)
        "": ["03", "01", "00"],
        "parentbased_always_off": ["02", "01", "00"],
        "always_off": ["02", "00", "00"],
        "always_on": ["03", "01", "01"],
    }
    for sampler, flags in expected.items():
        seen = run(program, env={"OTEL_TRACES_SAMPLER": sampler} if sampler else {})
        assert [seen.answers[name] for name in ("root", "sampled", "dropped")] == flags, sampler
        assert len(seen.spans) == 3, sampler


def test_tracers_that_were_handed_out_before_us(run: Runner) -> None:
    """aftertrace.install() in the middle of a program: its libraries have their tracers already."""
    seen = run("""
        import sys
        from opentelemetry import context, trace
        from opentelemetry.trace import ProxyTracer
        early = ProxyTracer("library")  # what get_tracer() gives when there is no provider
        with early.start_as_current_span("s") as span:
            answers["recording"] = span.is_recording()
        """)
    assert seen.answers["recording"]
    assert seen["s"].scope == "library"
