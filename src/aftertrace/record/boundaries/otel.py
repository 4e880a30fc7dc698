"""From the moment the program imports the OpenTelemetry API, its spans and contexts are the recorder's."""

from __future__ import annotations

from types import ModuleType

from aftertrace.record.boundaries.imports import when_imported
from aftertrace.record.boundaries.state import ledger


def install() -> None:
    """Waits for the API; imports nothing of it. Called by boundaries.install()."""
    for target, hook in (("opentelemetry.context", _context), ("opentelemetry.trace", _trace)):
        ledger.set(target, "waiting")
        when_imported(target, hook)


def _context(module: ModuleType) -> None:
    from aftertrace.record import otel_context  # noqa: PLC0415  # it imports what the program has just imported

    if not hasattr(module, "_RUNTIME_CONTEXT"):
        ledger.set(module.__name__, "skipped", "its runtime context is not where we know it")
        return
    otel_context.activate(module)
    ledger.set(module.__name__, "installed")


def _trace(module: ModuleType) -> None:
    from aftertrace.record import otel  # noqa: PLC0415

    missing = [name for name in ("_PROXY_TRACER_PROVIDER", "_set_tracer_provider") if not hasattr(module, name)]
    if missing:
        ledger.set(module.__name__, "skipped", f"{missing[0]} is not there")
        return
    ledger.set(module.__name__, "installed")
    otel.activate(module)
