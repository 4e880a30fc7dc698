"""Beside a program's own SDK: its provider stays global and exports as ever.

Each of its spans gets a native twin with the same ids, so that the recording belongs to the trace that the program's
own backend shows.
"""

from __future__ import annotations

import functools
import weakref
from contextvars import ContextVar
from typing import Any

from opentelemetry.trace import DEFAULT_TRACE_STATE

from aftertrace._native import Span, current
from aftertrace.record import propagation
from aftertrace.record.boundaries.calls import around, patch
from aftertrace.record.boundaries.state import ledger
from aftertrace.record.otel_context import MIRROR, Mirrored, api, native

NAME = "opentelemetry.trace"
_SAMPLER = "OTEL_TRACES_SAMPLER"
_RANDOM = ("opentelemetry.sdk.trace.id_generator", "RandomIdGenerator")

# The last trace here that has spans of the SDK.
_traced: ContextVar[int] = ContextVar("aftertrace.mirrored", default=0)


class Mirror:
    """An SDK's span processor (by its methods; nothing of the SDK is imported). Never raises."""

    def on_start(self, span: Any, parent_context: Any = None) -> None:
        try:
            _start(span, parent_context)
        except Exception as error:
            ledger.failed(NAME, error)

    def on_end(self, span: Any) -> None:
        try:
            held = vars(vars(span)["_attributes"]).pop(MIRROR, None)
            if held is not None:
                _finish(held, span)
        except Exception as error:
            ledger.failed(NAME, error)

    def _on_ending(self, span: Any) -> None:
        """Nothing to do: on_end() has what the program set until then."""

    def force_flush(self, timeout_millis: int = 30000) -> bool:  # noqa: ARG002  # the SDK's signature
        return True

    def shutdown(self) -> None:
        """Nothing is held back."""


def _start(span: Any, parent_context: Any) -> None:
    context, fields = span.get_span_context(), vars(span)
    links = [_link(link) for link in span.links] if len(fields["_links"]) else []
    scope = getattr(span.instrumentation_scope, "name", "")
    parent = _parent(span.parent, parent_context, context.trace_id)
    attributes = _attributes(span)
    kind = span.kind._value_ + 1  # .value costs half a microsecond
    twin = Span(span.name, kind, parent, attributes, links, span.start_time, scope, _identity(context))
    # On the attributes too: they are what the span has in common with its readable view, which is what ends.
    fields[MIRROR] = vars(fields["_attributes"])[MIRROR] = Mirrored(twin, attributes, len(links))
    _traced.set(context.trace_id)


def _attributes(span: Any) -> dict[str, Any]:
    """A copy of values that the SDK does not change: from its own dict where it has one, its view being slow."""
    held = getattr(vars(span).get("_attributes"), "_dict", None)
    return held.copy() if type(held) is dict else dict(span.attributes or {})


def _link(link: Any) -> tuple[int, int, Any]:
    return link.context.trace_id, link.context.span_id, link.attributes


def _parent(parent: Any, parent_context: Any, trace_id: int) -> Span | propagation.Remote | None:
    """Boundaries' spans stand between the SDK's: above a request's, around what an instrumentation sees of a call."""
    here = current()
    implicit = parent_context is None or parent is None or parent.is_remote
    if implicit and here is not None and here.trace_id == trace_id:
        return here
    if parent is None:
        return None
    seen = None if parent_context is None or api.span_key is None else native(parent_context.get(api.span_key))
    return seen or _identity(parent)


def _identity(context: Any) -> propagation.Remote:
    state = context.trace_state
    header = "" if state is DEFAULT_TRACE_STATE else state.to_header()
    return context.trace_id, context.span_id, int(context.trace_flags), header


def _finish(held: Mirrored, span: Any) -> None:
    twin, told = held.span, held.attributes
    if span.name != twin.name:
        twin.update_name(span.name)
    attributes = _attributes(span)
    set_since = {name: value for name, value in attributes.items() if told.get(name, told) is not value}
    if set_since:
        twin.set_attributes(set_since)
    for event in span.events if len(vars(span)["_events"]) else ():
        twin.add_event(event.name, dict(event.attributes or {}), event.timestamp)
    for link in span.links[held.links :] if len(vars(span)["_links"]) else ():
        twin.add_link(*_link(link))
    if span.status.status_code._value_:
        twin.set_status(span.status.status_code.value, span.status.description)
    # One ns later: a server that gets this and what the SDK exports keeps the span that ended last, and what the SDK
    # exports knows nothing of the boundary's span above it.
    twin.end(None if span.end_time is None else span.end_time + 1)


# -- the program's provider


def watch(module: Any, ours: tuple[type, ...]) -> None:
    """Follows the global provider, the one that is set already or the first that will be."""
    original = module._set_tracer_provider  # noqa: SLF001  # both ways of setting one go through it

    @functools.wraps(original)
    def setting(tracer_provider: Any, *args: Any, **kwargs: Any) -> None:
        original(tracer_provider, *args, **kwargs)
        _noticed(module, ours)

    module._set_tracer_provider = setting  # noqa: SLF001
    _noticed(module, ours)


def _noticed(module: Any, ours: tuple[type, ...]) -> None:
    try:
        provider = module._TRACER_PROVIDER  # noqa: SLF001
        if provider is not None and not isinstance(provider, ours):
            follow(provider)
            _share_sampling(provider)
    except Exception as error:
        ledger.failed(NAME, error)


def sdk(module: Any) -> None:
    """``opentelemetry.sdk.trace`` has been imported: providers that are passed around, and never global, are followed
    from the first tracer that they are asked for."""
    patch(module, "TracerProvider.get_tracer", around(NAME, _asked, _answered))


def _asked(args: tuple[Any, ...], _kwargs: dict[str, Any]) -> None:
    follow(args[0])


def _answered(_state: None, _tracer: Any, _error: BaseException | None) -> None:
    """Nothing to undo."""


_followed: weakref.WeakSet[Any] = weakref.WeakSet()


def follow(provider: Any) -> None:
    """Its spans have twins from now on. Idempotent."""
    api.foreign = True
    if provider in _followed:
        return
    _followed.add(provider)
    kind = type(provider)
    add = getattr(provider, "add_span_processor", None)
    if add is None:
        ledger.set(
            NAME, "installed", f"spans of {kind.__module__}.{kind.__qualname__} are not seen: it takes no processors"
        )
        return
    add(Mirror())
    _share_trace_ids(provider)
    ledger.set(NAME, "installed", f"beside {kind.__module__}.{kind.__qualname__}")


def _share_trace_ids(provider: Any) -> None:
    """A root that begins inside a boundary's span takes that span's trace id, random like its own would be: one request
    is one trace on both sides. A generator of the program's own (ids that mean something) is left alone."""
    generator = getattr(provider, "id_generator", None)
    kind = type(generator)
    if (kind.__module__, kind.__qualname__) != _RANDOM:
        return
    shared = type(kind.__name__, (kind,), {"generate_trace_id": _shared_trace_id(kind)})()
    provider.id_generator = shared
    for tracer in getattr(provider, "_tracers", {}).values():
        tracer.id_generator = shared


def _shared_trace_id(kind: Any) -> Any:
    def generate_trace_id(self: Any) -> int:
        here = current()
        if here is not None and here.trace_id != _traced.get():
            return here.trace_id
        drawn: int = kind.generate_trace_id(self)
        return drawn

    return generate_trace_id


def _share_sampling(provider: Any) -> None:
    """What goes out of a request outside of the SDK's spans follows its sampler too, where we know it."""
    wanted = _sampling(getattr(provider, "sampler", None))
    if wanted is not None:
        propagation.sampler.configure(wanted)


def _sampling(sampler: Any) -> dict[str, str] | None:
    """The environment's words for one of the SDK's own samplers; None for any other."""
    if type(sampler).__module__ != "opentelemetry.sdk.trace.sampling":
        return None
    root = vars(sampler).get("_root")
    if root is not None:
        below = _sampling(root)
        return below and below | {_SAMPLER: f"parentbased_{below[_SAMPLER]}"}
    rate, decision = vars(sampler).get("_rate"), vars(sampler).get("_decision")
    if rate is not None:
        return {_SAMPLER: "traceidratio", f"{_SAMPLER}_ARG": str(rate)}
    return None if decision is None else {_SAMPLER: "always_on" if decision.is_sampled() else "always_off"}
