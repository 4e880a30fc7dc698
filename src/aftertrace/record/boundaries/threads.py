"""A new thread, and work given to an executor, belong to the span that is current where they come from.

Only the recorder's current span is carried: the program's own context variables are as they are without us.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import ModuleType
from typing import Any

from aftertrace._native import attach, current, detach
from aftertrace.record.boundaries.calls import Missing, patch

_ATTRIBUTE = "_aftertrace_span"


def _remembering(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def wrapper(self: Any, *args: Any, **kwargs: Any) -> Any:
        self._aftertrace_span = current()
        return original(self, *args, **kwargs)

    return wrapper


def _within(original: Callable[..., Any]) -> Callable[..., Any]:
    """Runs in the remembered span. What the work raises is caught inside: no frame of ours is in its traceback."""

    @functools.wraps(original)
    def wrapper(self: Any, *args: Any, **kwargs: Any) -> Any:
        token = attach(vars(self).pop(_ATTRIBUTE, None))
        try:
            return original(self, *args, **kwargs)
        finally:
            detach(token)

    return wrapper


def _both(owner: Any, before: str, run: str) -> None:
    if not all(callable(vars(owner).get(name)) for name in (before, run)):
        raise Missing(f"{owner.__name__}.{run} is not there")
    patch(owner, before, _remembering)
    patch(owner, run, _within)


def threading(module: ModuleType) -> None:
    _both(module.Thread, "start", "_bootstrap_inner")


def executors(module: ModuleType) -> None:
    """``concurrent.futures.thread``. A worker's thread begins in the span of whoever gave it its first work: each piece
    of work says its own, "none" included."""
    _both(module._WorkItem, "__init__", "run")  # noqa: SLF001  # the pool has no other place
