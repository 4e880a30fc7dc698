"""One current span: what the API shows and what the recorder records in are the same, whoever made it current."""

from __future__ import annotations

from otel_programs import Runner


def test_a_boundary_s_span_is_the_api_s_current_span(run: Runner) -> None:
    seen = run("""
        from opentelemetry import trace
        boundary = _native.Span("boundary", 2, None)
        token = _native.attach(boundary)
        answers["same"] = trace.get_current_span() is boundary
        trace.get_current_span().set_attribute("user", "set by the program")
        trace.get_tracer("t").start_span("below").end()
        context = trace.get_current_span().get_span_context()
        answers["context"] = [context.is_valid, context.is_remote, context.trace_flags.sampled]
        _native.detach(token)
        answers["after"] = trace.get_current_span() is trace.INVALID_SPAN
        boundary.end()
        """)
    assert seen.answers["same"]
    assert seen.answers["after"]
    assert seen.answers["context"] == [True, False, True]
    assert seen["boundary"].attributes == {"user": "set by the program"}
    assert seen["below"].parent_id == seen["boundary"].span_id


def test_what_the_api_attaches_is_current_for_the_recorder(run: Runner) -> None:
    seen = run("""
        from opentelemetry import context, trace
        span = trace.get_tracer("t").start_span("s")
        with trace.use_span(span, end_on_exit=True):
            answers["used"] = _native.current() is span
        answers["left"] = _native.current() is None
        token = context.attach(trace.set_span_in_context(span))
        answers["attached"] = _native.current() is span
        inner = context.attach(context.Context())
        answers["emptied"] = _native.current() is None
        context.detach(inner)
        answers["back"] = _native.current() is span
        context.detach(token)
        answers["gone"] = _native.current() is None
        """)
    assert all(seen.answers[name] for name in ("used", "left", "attached", "emptied", "back", "gone"))


def test_values_beside_the_span_stay(run: Runner) -> None:
    seen = run("""
        from opentelemetry import baggage, context, trace
        tracer = trace.get_tracer("t")
        outer = context.attach(context.set_value("k", "v"))
        boundary = _native.Span("b", 2, None)
        token = _native.attach(boundary)
        with tracer.start_as_current_span("s") as span:
            with_bag = context.attach(baggage.set_baggage("tenant", "acme"))
            tenant = baggage.get_baggage("tenant")
            answers["within"] = [context.get_value("k"), tenant, trace.get_current_span() is span]
            context.detach(with_bag)
        answers["after"] = [context.get_value("k"), baggage.get_baggage("tenant"), trace.get_current_span() is boundary]
        _native.detach(token)
        answers["out"] = [context.get_value("k"), trace.get_current_span() is trace.INVALID_SPAN]
        context.detach(outer)
        answers["empty"] = dict(context.get_current())
        """)
    assert seen.answers["within"] == ["v", "acme", True]
    assert seen.answers["after"] == ["v", None, True]
    assert seen.answers["out"] == ["v", True]
    assert seen.answers["empty"] == {}


def test_tokens_and_contexts_from_before_us_stay_good(run: Runner) -> None:
    seen = run("""
        from opentelemetry import context
        ours = context._RUNTIME_CONTEXT
        context._RUNTIME_CONTEXT = ours._inner  # as it was before us
        old = context.attach(context.set_value("k", 1))
        from aftertrace.record import otel_context
        otel_context.activate(context)
        answers["kept"] = context.get_value("k")
        new = context.attach(context.set_value("k", 2))
        context.detach(new)
        context.detach(old)
        answers["left"] = context.get_value("k")
        """)
    assert (seen.answers["kept"], seen.answers["left"]) == (1, None)


def test_a_token_of_another_context_is_the_api_s_error_and_harms_nothing(run: Runner) -> None:
    seen = run("""
        import contextvars, logging
        from opentelemetry import context, trace
        class Keep(logging.Handler):
            lines = []
            def emit(self, record): self.lines.append(record.getMessage())
        logging.getLogger("opentelemetry").addHandler(Keep())
        logging.getLogger("opentelemetry").propagate = False
        span = trace.get_tracer("t").start_span("s")
        token = contextvars.copy_context().run(context.attach, trace.set_span_in_context(span))
        context.detach(token)
        answers["lines"] = Keep.lines
        answers["current"] = _native.current() is None
        """)
    assert seen.answers["lines"] == ["Failed to detach context"]
    assert seen.answers["current"]


def test_asyncio_and_threads(run: Runner) -> None:
    seen = run("""
        import asyncio, concurrent.futures, threading
        from opentelemetry import trace
        tracer = trace.get_tracer("t")
        def here(): return format(trace.get_current_span().get_span_context().span_id, "016x")
        async def task(n):
            with tracer.start_as_current_span(f"task {n}"):
                await asyncio.sleep(0.001 * (3 - n))
                with tracer.start_as_current_span(f"below {n}"):
                    await asyncio.sleep(0)
        async def main():
            with tracer.start_as_current_span("request"):
                await asyncio.gather(*(task(n) for n in range(3)))
                answers["thread"] = await asyncio.to_thread(here)
                answers["executor"] = await asyncio.get_running_loop().run_in_executor(None, here)
        asyncio.run(main())
        with tracer.start_as_current_span("plain"):
            thread = threading.Thread(target=lambda: answers.update(plain=here()))
            thread.start()
            thread.join()
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            with tracer.start_as_current_span("pooled"):
                answers["pool"] = pool.submit(here).result()
            answers["idle"] = pool.submit(here).result()
        """)
    for n in range(3):
        assert seen[f"task {n}"].parent_id == seen["request"].span_id
        assert seen[f"below {n}"].parent_id == seen[f"task {n}"].span_id
    assert seen.answers["thread"] == seen.answers["executor"] == seen["request"].span_id
    assert seen.answers["plain"] == seen["plain"].span_id
    assert (seen.answers["pool"], seen.answers["idle"]) == (seen["pooled"].span_id, "0" * 16)


def test_code_is_recorded_in_the_trace_that_the_api_made_current(run: Runner) -> None:
    seen = run(
        """
        import textwrap
        from opentelemetry import trace
        space = {}
        exec(compile("def work(n):\\n    return n + 1\\n", __file__, "exec"), space)
        work = space["work"]
        work(1)
        with trace.get_tracer("t").start_as_current_span("s"):
            work(2)
        work(3)
        """,
        level=1,
    )
    assert seen.starts.count(seen["s"].trace_id) == 1
    assert seen.starts.count("") >= 2


def test_received_baggage_is_the_api_s_and_goes_on(run: Runner) -> None:
    seen = run("""
        from opentelemetry import baggage, context
        import opentelemetry.trace
        from aftertrace.record import propagation
        raw = "tenant=acme;ttl=5 , tier=gold"
        entered = propagation.enter_baggage(raw)
        answers["read"] = dict(baggage.get_all())
        answers["unchanged"] = propagation.current_baggage()
        token = context.attach(baggage.set_baggage("region", "eu west"))
        answers["changed"] = propagation.current_baggage()
        context.detach(token)
        token = context.attach(baggage.clear())
        answers["cleared"] = propagation.current_baggage()
        context.detach(token)
        propagation.leave_baggage(entered)
        answers["left"] = [dict(baggage.get_all()), propagation.current_baggage()]
        """)
    assert seen.answers["read"] == {"tenant": "acme;ttl=5", "tier": "gold"}
    assert seen.answers["unchanged"] == "tenant=acme;ttl=5 , tier=gold"
    assert seen.answers["changed"].endswith("region=eu+west")
    assert seen.answers["cleared"] == ""
    assert seen.answers["left"] == [{}, ""]


def test_nothing_is_imported_before_the_program_does(run: Runner) -> None:
    seen = run("""
        answers["loaded"] = [name for name in sys.modules if name.startswith("opentelemetry")]
        """)
    assert seen.answers["loaded"] == []
    assert ["opentelemetry.trace", "waiting", ""] in seen.answers["report"]
