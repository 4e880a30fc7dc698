"""``logging``: every record that reaches the handlers is written into the ring, unformatted."""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import ModuleType
from typing import Any

from aftertrace import _native
from aftertrace.record.boundaries.calls import patch
from aftertrace.record.boundaries.state import ledger

NAME = "logging"


def severity(level: int) -> int:
    """OTLP's number of a level: DEBUG 5, INFO 9, WARNING 13, ERROR 17, CRITICAL 21; between them the lower one's."""
    return min(max(level // 10 * 4 + 1, 1), 21)


def _told(record: Any) -> None:
    exception = record.exc_info[1] if record.exc_info else None
    _native.log(
        severity(record.levelno),
        record.name,
        record.msg,
        record.args,
        record.pathname,
        record.lineno,
        record.funcName or "",
        exception,
    )


def install(module: ModuleType) -> None:
    def around(original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def callHandlers(self: Any, record: Any) -> Any:  # noqa: N802  # logging's name
            try:
                _told(record)
            except Exception as error:
                ledger.failed(NAME, error)
            return original(self, record)

        return callHandlers

    patch(module, "Logger.callHandlers", around)
