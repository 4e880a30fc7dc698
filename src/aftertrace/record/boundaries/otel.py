"""From the moment the program imports the OpenTelemetry API, its spans and contexts are the recorder's."""

from __future__ import annotations

import os

from aftertrace.record.boundaries.calls import Missing
from aftertrace.record.boundaries.imports import when_imported
from aftertrace.record.boundaries.state import ledger

TYPE_CHECKING = False  # nothing is imported at a start that can be done without
if TYPE_CHECKING:
    from types import ModuleType

TARGETS = ("opentelemetry.context", "opentelemetry.trace", "opentelemetry.sdk.trace")
_LAUNCHER = "opentelemetry.instrumentation.auto_instrumentation"


def install() -> None:
    """Waits for the API; imports nothing of it. Called by boundaries.install()."""
    for target, hook in zip(TARGETS, (_context, _trace, _sdk), strict=True):
        ledger.set(target, "waiting")
        when_imported(target, hook)
    when_imported(_LAUNCHER, _launcher)


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


def _sdk(module: ModuleType) -> None:
    from aftertrace.record import otel_mirror  # noqa: PLC0415

    try:
        otel_mirror.sdk(module)
    except Missing as error:
        ledger.set(module.__name__, "skipped", str(error))
    else:
        ledger.set(module.__name__, "installed")


def _launcher(module: ModuleType) -> None:
    """``opentelemetry-instrument`` puts a sitecustomize of its own first on PYTHONPATH, which runs no other, and
    becomes the program. Ours has to stand before it, and runs it."""
    from aftertrace.record.run import first_on  # noqa: PLC0415  # in this one program

    become = getattr(module, "execl", None)
    if become is None:
        ledger.set(module.__name__, "skipped", "execl is not there: what it starts is not recorded")
        return

    def execl(*args: str) -> None:
        os.environ["PYTHONPATH"] = first_on(os.environ.get("PYTHONPATH", ""))
        become(*args)

    module.execl = execl  # type: ignore[attr-defined]
