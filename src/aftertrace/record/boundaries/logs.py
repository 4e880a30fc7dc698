"""``logging``: every record that reaches the handlers is written into the ring, unformatted."""

from __future__ import annotations

import functools
import logging
import os
import threading

from aftertrace import _native
from aftertrace.record.boundaries.calls import guarded, patch, step_aside, unseen

TYPE_CHECKING = False  # nothing is imported at a start that can be done without
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType
    from typing import Any

NAME = "logging"

_fields = logging.LogRecord.__dict__["__dict__"]  # what a class of the program's makes of its attributes is not run


def severity(level: int) -> int:
    """OTLP's number of a level: DEBUG 5, INFO 9, WARNING 13, ERROR 17, CRITICAL 21; between them the lower one's."""
    return min(max(level // 10 * 4 + 1, 1), 21)


def _told(record: Any) -> None:
    """A record that was made on another thread of this process has come out of a queue: it was written there."""
    fields = _fields.__get__(record)
    get = fields.get
    if get("thread") not in {None, threading.get_ident()} and get("process") == os.getpid():
        return
    level, info = get("levelno"), get("exc_info")
    _native.log(
        severity(int.__int__(level)) if issubclass(type(level), int) else 0,
        get("name"),
        get("msg"),
        get("args"),
        get("pathname"),
        get("lineno"),
        get("funcName") or "",
        info[1] if type(info) is tuple and len(info) == 3 else None,
    )


def _around(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def callHandlers(self: Any, record: Any) -> Any:  # noqa: N802  # logging's name
        guarded(NAME, _told, record)
        try:
            return original(self, record)
        except BaseException as error:
            step_aside(error)
            raise

    # Who looks for the caller of a handler (loguru's documentation shows it) skips frames of logging's file.
    return unseen(callHandlers, original.__code__.co_filename)


def install(module: ModuleType) -> None:
    patch(module, "Logger.callHandlers", _around)
