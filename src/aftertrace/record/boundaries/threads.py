"""A new thread, and work given to an executor, belong to the span that is current where they come from.

Only the recorder's current span is carried: the program's own context variables are as they are without us. The
threads of a pool live longer than the request in which they happen to start, so they begin in no span: a piece of an
executor's work brings its own, and anyio runs it in a copy of the caller's context. A pool that we do not know
keeps its threads in the span in which they were started.
"""

from __future__ import annotations

import functools
import sys
from types import FunctionType, MethodType

from aftertrace._native import Span, attach, current, detach
from aftertrace.record.boundaries.calls import guarded, patch_all, step_aside, unseen

TYPE_CHECKING = False  # nothing is imported at a start that can be done without
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType
    from typing import Any

NAME = "threads"
_ATTRIBUTE = "_aftertrace_span"
_POOLS = frozenset(
    {
        "concurrent.futures.thread",
        "multiprocessing.pool",
        "logging.handlers",  # the listener at a queue
        "anyio._backends._asyncio",
        "aiosqlite.core",
        "psycopg_pool.pool",
        "psycopg_pool.sched",
    }
)


_MOST_SITES = 256

sites: dict[
    tuple[str, int], str
] = {}  # (path, first line) of a thread's function -> where it was last started: path:line


def _remember(instance: Any) -> None:
    """With the means of `object`: a class of the program's may do anything when an attribute is set."""
    span = current()
    if span is None:
        _remember_site(instance)
    if span is not None and not _of_pool(instance):
        object.__setattr__(instance, _ATTRIBUTE, span)


def _function(instance: Any) -> object:
    target = object.__getattribute__(instance, "__dict__").get("_target")
    return target.__func__ if type(target) is MethodType else target


def _remember_site(instance: Any) -> None:
    target = _function(instance)
    if type(target) is FunctionType and len(sites) < _MOST_SITES:
        caller = sys._getframe(4)  # noqa: SLF001  # behind this, _remember, guarded and the wrapper
        place = target.__code__.co_filename, target.__code__.co_firstlineno
        sites[place] = f"{caller.f_code.co_filename}:{caller.f_lineno}"


def _of_pool(instance: Any) -> bool:
    target = _function(instance)
    return type(instance).__module__ in _POOLS or (type(target) is FunctionType and target.__module__ in _POOLS)


def _remembered(instance: Any) -> Span | None:
    span: Span | None = object.__getattribute__(instance, "__dict__").pop(_ATTRIBUTE, None)
    return span


def _before(remember: Callable[[Any], None]) -> Callable[[Any], Any]:
    def make(original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def wrapper(self: Any, *args: Any, **kwargs: Any) -> Any:
            guarded(NAME, remember, self)
            try:
                return original(self, *args, **kwargs)
            except BaseException as error:
                guarded(NAME, _remembered, self)  # it did not start
                step_aside(error)
                raise

        return unseen(wrapper)

    return make


def _within(original: Callable[..., Any]) -> Callable[..., Any]:
    """Runs in the remembered span. What the work raises is caught inside."""

    @functools.wraps(original)
    def wrapper(self: Any, *args: Any, **kwargs: Any) -> Any:
        span = guarded(NAME, _remembered, self)
        if span is None:
            return original(self, *args, **kwargs)
        token = attach(span)
        del span
        try:
            return original(self, *args, **kwargs)
        finally:
            detach(token)

    return unseen(wrapper)


def threading(module: ModuleType) -> None:
    patch_all(module, {"Thread.start": _before(_remember), "Thread._bootstrap_inner": _within})


def _remember_work(item: Any) -> None:
    vars(item)[_ATTRIBUTE] = current()


def executors(module: ModuleType) -> None:
    """``concurrent.futures.thread``."""
    patch_all(module, {"_WorkItem.__init__": _before(_remember_work), "_WorkItem.run": _within})
