"""The programs of `programs` and `more_programs`, run under the native recorder in processes of their own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from aftertrace.explain.why import why
from aftertrace.reconstruct.build import build
from aftertrace.wire.bundle import TraceData

from ..reconstruct.services import running
from .more_programs import DOUBTFUL, HOSTILE, WAYS
from .programs import BUGS, Bug

ALL = BUGS | WAYS | DOUBTFUL | HOSTILE
_MARK = "  # cause"


def stripped(bug: Bug) -> Bug:
    """As it runs: without the marks, which no search for a cause may see."""
    texts = {name: text.replace(_MARK, "").replace("  # as suspect", "") for name, text in bug.services.items()}
    return replace(bug, services=texts)


def marked(bug: Bug) -> set[tuple[str, int]]:
    """(service, line) of the lines that are to blame."""
    lines = [
        (name, number, line) for name, text in bug.services.items() for number, line in enumerate(text.split("\n"), 1)
    ]
    return {(name, number) for name, number, line in lines if line.endswith(_MARK)}


def record(directory: Path, bug: Bug, **how: Any) -> TraceData:
    """One failing request to the first of its services."""
    with running(directory, stripped(bug).services, **how) as services:
        return services.trace(services.request(next(iter(bug.services)), "/x", bug.body))


def answer(trace: TraceData) -> dict[str, Any]:
    """What ``why`` says, as JSON has it."""
    return why(build(trace)).to_json()


def place(cause: dict[str, Any]) -> tuple[str, int]:
    return cause["service"], cause["line"]
