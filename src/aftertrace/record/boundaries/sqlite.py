"""sqlite3: a CLIENT span around each execute, inside a trace.

The C types cannot be patched, so `connect` hands out a subclass of Connection that looks like it; its cursors are a
subclass of Cursor. Whoever brings a factory of their own gets exactly that, and no spans.
"""

from __future__ import annotations

import functools
import sqlite3
from types import ModuleType
from typing import Any

from aftertrace._native import Span, attach, current, detach
from aftertrace.record.boundaries.calls import CLIENT, ERROR, patch
from aftertrace.record.boundaries.state import ledger

NAME = "sqlite3"
_SCOPE = "aftertrace.sqlite3"
_MOST_TEXT = 2048
_FACTORY = 5  # index of `factory` among connect()'s positional arguments


def _begin(sql: Any) -> Span | None:
    """None outside a trace, and for what is no statement."""
    parent = current()
    if parent is None or type(sql) is not str:
        return None
    try:
        text = sql[:_MOST_TEXT].strip()
        operation = text.split(None, 1)[0].upper() if text else "execute"
        attributes = {"db.system.name": "sqlite", "db.query.text": text, "db.operation.name": operation}
        return Span(operation, CLIENT, parent, attributes, None, None, _SCOPE)
    except Exception as error:
        ledger.failed(NAME, error)
        return None


def _spanned(original: Any) -> Any:
    @functools.wraps(original)
    def wrapper(self: Any, /, *args: Any, **kwargs: Any) -> Any:
        span = _begin(args[0] if args else kwargs.get("sql"))
        if span is None:
            return original(self, *args, **kwargs)
        token = attach(span)
        try:
            return original(self, *args, **kwargs)
        except Exception as error:
            span.set_attribute("error.type", type(error).__qualname__)
            span.record_exception(error, escaped=True)
            span.set_status(ERROR)
            raise
        finally:
            span.end()
            detach(token)

    return wrapper


class Cursor(sqlite3.Cursor):
    execute = _spanned(sqlite3.Cursor.execute)
    executemany = _spanned(sqlite3.Cursor.executemany)
    executescript = _spanned(sqlite3.Cursor.executescript)


class Connection(sqlite3.Connection):
    execute = _spanned(sqlite3.Connection.execute)
    executemany = _spanned(sqlite3.Connection.executemany)
    executescript = _spanned(sqlite3.Connection.executescript)

    def cursor(self, factory: Any = Cursor) -> Any:
        return super().cursor(factory)


for _kind in (Cursor, Connection):
    _kind.__module__ = "sqlite3"  # as it looks without us


def install(module: ModuleType) -> None:
    """``sqlite3``, and ``sqlite3.dbapi2`` from which it has its connect()."""

    def around(original: Any) -> Any:
        @functools.wraps(original)
        def connect(*args: Any, **kwargs: Any) -> Any:
            if len(args) <= _FACTORY and "factory" not in kwargs:
                kwargs["factory"] = Connection
            return original(*args, **kwargs)

        return connect

    for owner in (sqlite3.dbapi2, module):
        patch(owner, "connect", around)
