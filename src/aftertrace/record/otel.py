"""The OpenTelemetry tracing API on native spans, for programs that bring no provider of their own (D9).

Our provider stands where the API keeps the proxy that waits for a real one. So a program may still set its SDK's
provider: that becomes the global one as if we were not there, and `otel_mirror` follows its spans.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, cast

from opentelemetry import context as contexts
from opentelemetry import trace
from opentelemetry.context.context import Context
from opentelemetry.trace import DEFAULT_TRACE_STATE, INVALID_SPAN, SpanContext, SpanKind, TraceFlags, TraceState

from aftertrace import _native
from aftertrace._native import Span, attach, detach
from aftertrace.record import otel_context, otel_mirror, propagation
from aftertrace.record.boundaries.state import ledger
from aftertrace.record.otel_context import api, ids_of, native

NAME = "opentelemetry.trace"
_ERROR = 2


class Tracer(trace.Tracer):
    """Makes native spans; once the program has set a provider of its own, that one's."""

    def __init__(self, name: str, *more: Any) -> None:
        self._scope = name if isinstance(name, str) else ""
        self._wanted = (name, *more)
        self._real: tuple[trace.TracerProvider, trace.Tracer] | None = None

    def start_span(  # noqa: PLR0917  # the API's signature
        self,
        name: str,
        context: Context | None = None,
        kind: SpanKind = SpanKind.INTERNAL,
        attributes: Any = None,
        links: Sequence[trace.Link] | None = None,
        start_time: int | None = None,
        record_exception: bool = True,
        set_status_on_exception: bool = True,
    ) -> Any:
        if api.foreign and (theirs := self._theirs()) is not None:
            return theirs.start_span(
                name, context, kind, attributes, links, start_time, record_exception, set_status_on_exception
            )
        try:
            parent = propagation.parent() if context is None else _parent_in(context)
            linked = (
                [(link.context.trace_id, link.context.span_id, link.attributes) for link in links] if links else None
            )
            return Span(name, kind._value_ + 1, parent, attributes, linked, start_time, self._scope)
        except Exception as error:
            ledger.failed(NAME, error)
            return INVALID_SPAN

    def start_as_current_span(  # noqa: PLR0917  # no generator behind it, as the API's own has
        self,
        name: str,
        context: Context | None = None,
        kind: SpanKind = SpanKind.INTERNAL,
        attributes: Any = None,
        links: Sequence[trace.Link] | None = None,
        start_time: int | None = None,
        record_exception: bool = True,
        set_status_on_exception: bool = True,
        end_on_exit: bool = True,
    ) -> Any:
        if api.foreign and (theirs := self._theirs()) is not None:
            return theirs.start_as_current_span(
                name,
                context,
                kind,
                attributes,
                links,
                start_time,
                record_exception,
                set_status_on_exception,
                end_on_exit,
            )
        wanted = (name, context, kind, attributes, links, start_time)
        return _Current(self, wanted, record_exception, set_status_on_exception, end_on_exit)

    def _theirs(self) -> trace.Tracer | None:
        provider = _their_provider()
        if provider is None:
            return None
        if self._real is None or self._real[0] is not provider:
            self._real = provider, provider.get_tracer(*self._wanted)
        return self._real[1]


def _their_provider() -> trace.TracerProvider | None:
    """The one that the program has set, or the SDK's behind ours. None: it took its own away again, as tests do."""
    provider: Any = trace.get_tracer_provider()
    if isinstance(provider, TracerProvider):
        provider = provider.behind
    if isinstance(provider, Waiting):
        provider = None
    return cast("trace.TracerProvider | None", provider)


def _parent_in(context: Context) -> Span | propagation.Remote:
    """What an explicit context says: a span, a remote one, or that a new trace begins."""
    seen = context.get(api.span_key) if api.span_key is not None else None
    return native(seen) or ids_of(seen) or propagation.sampler.root()


class _Current:
    """``with tracer.start_as_current_span(...) as span``, or as a decorator of plain and of async functions."""

    __slots__ = ("_end", "_record", "_span", "_status", "_token", "_tracer", "_wanted")

    def __init__(self, tracer: Tracer, wanted: tuple[Any, ...], record: bool, status: bool, end: bool) -> None:
        self._tracer = tracer
        self._wanted = wanted
        self._record = record
        self._status = status
        self._end = end

    def __enter__(self) -> Any:
        self._span = span = self._tracer.start_span(*self._wanted)
        self._token = attach(span) if type(span) is Span else None
        return span

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        span = self._span
        if self._token is not None:
            detach(self._token)
        if kind is not None and issubclass(kind, Exception):
            self._failed(span, kind, error)
        if self._end:
            span.end()

    def _failed(self, span: Any, kind: type[BaseException], error: BaseException | None) -> None:
        if self._record and self._status and self._end:
            span.__exit__(kind, error, None)
            return
        if self._record:
            span.record_exception(error)
        if self._status:
            span.set_status(_ERROR, kind.__name__)

    def _again(self) -> _Current:
        return _Current(self._tracer, self._wanted, self._record, self._status, self._end)

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def within_async(*args: Any, **kwargs: Any) -> Any:
                with self._again():
                    return await function(*args, **kwargs)

            return within_async

        @functools.wraps(function)
        def within(*args: Any, **kwargs: Any) -> Any:
            with self._again():
                return function(*args, **kwargs)

        return within


class Waiting(trace.ProxyTracerProvider):
    """Answers as the global provider until the program sets one. It is a proxy to those who ask whether tracing is set
    up, and has no more methods than the proxy has: those who find none there make a provider of their own."""

    def get_tracer(
        self,
        instrumenting_module_name: str,
        instrumenting_library_version: str | None = None,
        schema_url: str | None = None,
        attributes: Any = None,
    ) -> trace.Tracer:
        return Tracer(instrumenting_module_name, instrumenting_library_version, schema_url, attributes)


class TracerProvider(trace.TracerProvider):
    """Chosen by OTEL_PYTHON_TRACER_PROVIDER=aftertrace: it is the program's provider, with an SDK's methods."""

    def __init__(self) -> None:
        self.behind: Any = None  # a provider of the SDK, once there are processors for it
        activate(trace)

    def get_tracer(
        self,
        instrumenting_module_name: str,
        instrumenting_library_version: str | None = None,
        schema_url: str | None = None,
        attributes: Any = None,
    ) -> trace.Tracer:
        return Tracer(instrumenting_module_name, instrumenting_library_version, schema_url, attributes)

    def add_span_processor(self, span_processor: Any) -> None:
        """A processor works on the SDK's spans: from now on the SDK makes them, behind us, and they have twins here.
        ImportError: there is no SDK."""
        if self.behind is None:
            from opentelemetry.sdk.trace import TracerProvider as Sdk  # noqa: PLC0415  # only where it is asked for

            self.behind = Sdk()
            otel_mirror.follow(self.behind)
        self.behind.add_span_processor(span_processor)

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """What a span says is in the ring at once: only processors may have something to flush."""
        return self.behind is None or bool(self.behind.force_flush(timeout_millis))

    def shutdown(self) -> None:
        if self.behind is not None:
            self.behind.shutdown()


# -- into the API


@functools.lru_cache(maxsize=256)
def _trace_state(header: str) -> TraceState:
    return TraceState.from_header([header])


def _span_context(span: Span) -> SpanContext:
    state = _trace_state(span.trace_state) if span.trace_state else DEFAULT_TRACE_STATE
    return SpanContext(span.trace_id, span.span_id, False, TraceFlags(span.trace_flags), state)


def activate(module: Any) -> None:
    """``opentelemetry.trace`` has been imported: puts everything in place. Idempotent."""
    otel_context.activate(contexts)
    if isinstance(module._PROXY_TRACER_PROVIDER, Waiting):  # noqa: SLF001  # the API's place for one that waits
        return
    key = module.propagation._SPAN_KEY  # noqa: SLF001  # drawn at random when the API is imported
    module.Span.register(Span)  # get_current_span() and programs ask isinstance(span, opentelemetry.trace.Span)
    _native.set_span_context_factory(_span_context)
    module._PROXY_TRACER_PROVIDER = Waiting()  # noqa: SLF001
    _adopt_waiting_tracers(module)
    otel_mirror.watch(module, (Waiting, TracerProvider))
    api.span_key = key


def _adopt_waiting_tracers(module: Any) -> None:
    """Tracers that were handed out before we came are proxies: while there is no provider, ours answer for them."""
    waiting = vars(module.ProxyTracer).get("_tracer")
    if not isinstance(waiting, property) or waiting.fget is None:
        return
    original = waiting.fget

    def answer(self: Any) -> trace.Tracer:
        if api.foreign:
            real: trace.Tracer = original(self)
            return real
        return Tracer(self._instrumenting_module_name)

    module.ProxyTracer._tracer = property(answer)  # noqa: SLF001
