"""Where a boundary keeps out: what the program's own OpenTelemetry suppresses, or sees by itself.

Whoever suppresses instrumentation (OpenTelemetry's exporters do, around their own requests) gets no spans and no
headers. Where a contrib instrumentation is at work and its spans come to our provider, which drops none, they are the
boundary's spans already. Beside a program's own SDK the span of what comes in stays ours: its sampler may drop its own.
"""

from __future__ import annotations

import sys
from contextvars import ContextVar
from types import ModuleType
from typing import Any

from aftertrace import _native
from aftertrace.record.boundaries.state import ledger

# While contrib's SQLAlchemy instrumentation has a span of the statement, which it does not make current.
hushed: ContextVar[bool] = ContextVar("aftertrace.hushed", default=False)

_PLAIN = "suppress_instrumentation"  # as contrib wrote it before the API had a key
_KEYS = ("_SUPPRESS_INSTRUMENTATION_KEY",)
_HTTP_KEYS = (*_KEYS, "_SUPPRESS_HTTP_INSTRUMENTATION_KEY")


def suppressed(*, http: bool = False) -> bool:
    """Whether OpenTelemetry's current context wants no instrumentation here; http: or none of HTTP calls, because
    somebody around this one sees it already."""
    module = sys.modules.get("opentelemetry.context")
    if module is None:
        return False
    runtime = getattr(module, "_RUNTIME_CONTEXT", None)
    if runtime is None:
        return False
    context = getattr(runtime, "_inner", runtime).get_current()
    if not context:
        return False
    keys = _HTTP_KEYS if http else _KEYS
    return bool(context.get(_PLAIN)) or any(context.get(getattr(module, key, "")) for key in keys)


def _watched(runtime: Any) -> tuple[ContextVar[Any], tuple[str, ...]] | None:
    """Where a runtime context keeps its contexts, and what suppresses in there; None: suppressed() has to look."""
    inner = getattr(runtime, "_inner", runtime)
    found = getattr(inner, "_current_context", None)
    if type(found) is not ContextVar or type(inner).__module__ != "opentelemetry.context.contextvars_context":
        return None
    names = (getattr(sys.modules["opentelemetry.context"], key, None) for key in _KEYS)
    return found, (_PLAIN, *(name for name in names if type(name) is str))


def _ask() -> bool:
    try:
        return suppressed()
    except Exception as error:
        ledger.failed("opentelemetry.context", error)
        return True


_native.watch_suppression(hushed, _watched, _ask)


def foreign() -> bool:
    """The program has a tracer provider of its own."""
    module = sys.modules.get("aftertrace.record.otel_context")
    return module is not None and bool(module.api.foreign)


def instruments(package: str, kind: str) -> bool:
    """Whether an instrumentor of contrib's is at work in this process."""
    module = sys.modules.get(f"opentelemetry.instrumentation.{package}")
    if type(module) is not ModuleType:
        return False
    instance = getattr(vars(module).get(kind), "_instance", None)
    return bool(getattr(instance, "_is_instrumented_by_opentelemetry", False))


def sees(app: Any) -> bool:
    """Whether a contrib instrumentation makes the span of the requests into a WSGI application, or into one that this
    wraps, as far as plain attributes tell."""
    if sys.modules.get("opentelemetry.instrumentation.wsgi") is None or foreign():  # flask's and django's import it
        return False
    for _ in range(_DEEPEST):
        if _marked(app):
            return True
        app = _within(app)
        if app is None:
            return False
    return False


_DEEPEST = 16  # wrappers around an application
_NAMES = ("wsgi_app", "app", "application", "_app", "wrapped", "__self__", "func", "__wrapped__")


def _marked(app: Any) -> bool:
    kinds = {(kind.__module__, kind.__name__) for kind in type(app).__mro__}
    if ("opentelemetry.instrumentation.wsgi", "OpenTelemetryMiddleware") in kinds:
        return True
    if ("django.core.handlers.wsgi", "WSGIHandler") in kinds:
        return instruments("django", "DjangoInstrumentor")
    return bool(_fields(app).get("_is_instrumented_by_opentelemetry"))


def _within(app: Any) -> Any:
    fields = _fields(app)
    return next((fields[name] for name in _NAMES if fields.get(name) is not None), None)


def _fields(thing: Any) -> dict[str, Any]:
    try:
        found = object.__getattribute__(thing, "__dict__")
    except AttributeError:
        return {}
    return found if type(found) is dict else {}
