"""OpenTelemetry's current context and the recorder's current span, kept the same in both directions (D3, D9).

`RuntimeContext` stands around the program's own runtime context, so tokens and values made before us stay good. It
needs no entry point to be chosen: boundaries.otel puts it in place once the program has imported the API. (The API's
environment variables would reach child processes too, where a Python without us fails on them.)
"""

from __future__ import annotations

import contextlib
import functools
import sys
from collections.abc import Mapping
from contextvars import ContextVar
from types import ModuleType
from typing import Any

from opentelemetry.context.context import Context, _RuntimeContext
from opentelemetry.context.contextvars_context import ContextVarsRuntimeContext

from aftertrace._native import ContextReader, Span, attach, current, detach, set_span_key
from aftertrace.record import propagation
from aftertrace.record.boundaries.state import ledger

NAME = "opentelemetry.context"
MIRROR = "_aftertrace"  # in the __dict__ of an SDK's span: who holds its twin here


class Api:
    """What is known of the API in this process; `otel` fills it in."""

    def __init__(self) -> None:
        self._span_key: str | None = None
        self._foreign = False

    @property
    def span_key(self) -> str | None:
        """Where a Context keeps its span; None: opentelemetry.trace is not loaded."""
        return self._span_key

    @span_key.setter
    def span_key(self, key: str | None) -> None:
        self._span_key = key
        self._announce()

    @property
    def foreign(self) -> bool:
        """The program has a provider of its own, global or not: our spans stay out of its contexts."""
        return self._foreign

    @foreign.setter
    def foreign(self, foreign: bool) -> None:
        self._foreign = foreign
        self._announce()

    def _announce(self) -> None:
        set_span_key(None if self._foreign else self._span_key)


api = Api()


class Mirrored:
    """Holds the native twin of an SDK's span for as long as that span lives, and what was told of it at its start."""

    __slots__ = ("attributes", "links", "span")

    def __init__(self, span: Span, attributes: Mapping[str, Any], links: int) -> None:
        self.span = span
        self.attributes = attributes
        self.links = links


class RuntimeContext(_RuntimeContext):
    """The API's runtime context, with the recorder's span as the current span."""

    def __init__(self, inner: _RuntimeContext | None = None) -> None:
        self._inner = ContextVarsRuntimeContext() if inner is None else inner
        variable = getattr(self._inner, "_current_context", None)
        if type(self._inner) is ContextVarsRuntimeContext and type(variable) is ContextVar:
            # The same natively, for where there is nothing to merge: without a frame, ours or the API's.
            self.get_current = ContextReader(variable, Context, self.get_current)  # type: ignore[method-assign]

    def attach(self, context: Context) -> Any:
        token = self._inner.attach(context)
        try:
            followed = _follow(context)
        except Exception as error:
            ledger.failed(NAME, error)
            followed = None
        return token, followed

    def detach(self, token: Any) -> None:
        if type(token) is not tuple:  # attached before we came
            self._inner.detach(token)
            return
        inner, followed = token
        try:
            self._inner.detach(inner)
        finally:
            if followed is not None:
                _return(followed)

    def get_current(self) -> Context:
        context = self._inner.get_current()
        key = api.span_key
        if key is None or api.foreign:
            return context
        here, seen = current(), context.get(key)
        if seen is here:
            return context
        if here is not None:
            return Context({**context, key: here})
        if type(seen) is not Span:  # none, or a remote one that was attached as such
            return context
        return Context({name: value for name, value in context.items() if name != key})


def native(span: object) -> Span | None:
    """The recorder's span behind a span of the API: itself, or the twin of an SDK's."""
    if type(span) is Span:
        return span
    if span is None:
        return None
    held = getattr(span, "__dict__", _NO_FIELDS).get(MIRROR)
    return held.span if type(held) is Mirrored else None


_NO_FIELDS: Mapping[str, Any] = {}


def ids_of(span: Any) -> propagation.Remote | None:
    """The identity of a span that we have no twin of; None when it is none or not valid."""
    context = None if span is None else span.get_span_context()
    if context is None or not context.is_valid:
        return None
    flags = (
        int(context.trace_flags)
        if api.foreign
        else propagation.sampler.flags(context.trace_id, int(context.trace_flags))
    )
    return context.trace_id, context.span_id, flags, context.trace_state.to_header()


def _follow(context: Mapping[str, object]) -> tuple[Any, Any] | None:
    """Makes current here what the context says. Gives the tokens of the native span and of propagation.remote; None: it
    is current already."""
    if api.span_key is None:
        return None
    seen, here = context.get(api.span_key), current()
    span = native(seen)
    if span is not None:
        outside = propagation.remote.get() is not None
        return (
            None if span is here and not outside else (attach(span), propagation.remote.set(None) if outside else None)
        )
    ids = ids_of(seen)
    if api.foreign and (ids is None or (here is not None and _within(here, seen, ids))):
        # Contexts of the program's own provider do not show our spans: that ours is missing there says nothing.
        # A span that its sampler dropped has no twin; its flags are what goes out below ours.
        return None if ids is None or here is None else (None, propagation.remote.set((here.trace_id, *ids[1:])))
    if here is None and ids == propagation.remote.get():
        return None
    return attach(None) if here is not None else None, propagation.remote.set(ids)


def _within(here: Span, seen: Any, ids: propagation.Remote) -> bool:
    """Not where another process's trace begins. A dropped span may have a trace id that its provider made up."""
    return here.trace_id == ids[0] or not seen.get_span_context().is_remote


def _return(followed: tuple[Any, Any]) -> None:
    span, remote = followed
    if remote is not None:
        with contextlib.suppress(ValueError):  # a token of another context, as when a generator is closed elsewhere
            propagation.remote.reset(remote)
    if span is not None:
        detach(span)


# -- baggage


class _Baggage:
    """propagation.BaggageBridge."""

    def enter(self, header: str) -> object:
        from opentelemetry import context as contexts  # noqa: PLC0415  # only where baggage comes in
        from opentelemetry.baggage.propagation import W3CBaggagePropagator  # noqa: PLC0415

        return contexts.attach(W3CBaggagePropagator().extract({propagation.BAGGAGE: header}, contexts.get_current()))

    def leave(self, token: object) -> None:
        from opentelemetry import context as contexts  # noqa: PLC0415

        contexts.detach(token)  # type: ignore[arg-type]  # our runtime's token

    def header(self, received: str) -> str:
        key = getattr(sys.modules.get("opentelemetry.baggage"), "_BAGGAGE_KEY", None)
        if key is None:
            return received
        from opentelemetry import context as contexts  # noqa: PLC0415

        here = contexts.get_current()
        entries = here.get(key)
        if entries is None or (received and entries == _parsed(received, key)):
            return received
        from opentelemetry.baggage.propagation import W3CBaggagePropagator  # noqa: PLC0415

        carrier: dict[str, str] = {}
        W3CBaggagePropagator().inject(carrier, here)
        return carrier.get(propagation.BAGGAGE, "")


@functools.lru_cache(maxsize=64)
def _parsed(header: str, key: str) -> object:
    from opentelemetry.baggage.propagation import W3CBaggagePropagator  # noqa: PLC0415

    return W3CBaggagePropagator().extract({propagation.BAGGAGE: header}, Context()).get(key)


def activate(module: ModuleType) -> None:
    """``opentelemetry.context``: its runtime is ours from now on. Idempotent."""
    inner = module._RUNTIME_CONTEXT  # noqa: SLF001  # the API has no setter
    if not isinstance(inner, RuntimeContext):
        module._RUNTIME_CONTEXT = RuntimeContext(inner)  # type: ignore[attr-defined]  # noqa: SLF001
    propagation.bridges.baggage = _Baggage()
