"""sqlite3: a CLIENT span around each execute, inside a trace.

The C types cannot be patched, so `connect` hands out a subclass of Connection that looks like it; its cursors are a
subclass of Cursor. Whoever brings a factory of their own gets exactly that, and no spans.

What still tells: `type(connection) is sqlite3.Connection` is false; errors of the interpreter say 'Connection' for
'sqlite3.Connection'; the deprecation warnings for a named placeholder that got a sequence, and for positional
arguments of connect() together with a factory, name this file.
"""

from __future__ import annotations

import copyreg
import functools
import sqlite3
import sys
import warnings
from collections.abc import Callable
from types import ModuleType
from typing import Any

from aftertrace._native import Around, Template
from aftertrace.record.boundaries import sql
from aftertrace.record.boundaries.calls import CLIENT, Missing, finish, instead, step_aside, unseen
from aftertrace.record.boundaries.state import ledger
from aftertrace.record.boundaries.stores import Arguments, Described, Instrumentors, Spans

NAME = "sqlite3"
_SCOPE = "aftertrace.sqlite3"
_BASE = Template("", CLIENT, {"db.system.name": "sqlite"})
_CONTRIB: Instrumentors = (("sqlite3", "SQLite3Instrumentor"),)
_POSITIONAL = (
    "database",
    "timeout",
    "detect_types",
    "isolation_level",
    "check_same_thread",
    "factory",
)
# Said by C code of 3.13 and 3.14 about its caller, which would be us.
_DEPRECATED = (
    "Passing more than 1 positional argument to {}() is deprecated. Parameters 'timeout', 'detect_types', "
    "'isolation_level', 'check_same_thread', 'factory', 'cached_statements' and 'uri' will become keyword-only "
    "parameters in Python 3.15."
)
_WARNS = (3, 13) <= sys.version_info < (3, 15)


_known = sql.known(_SCOPE)


def _one(args: Arguments, _kwargs: dict[str, Any]) -> Described:
    """None for what is no statement."""
    if len(args) < 2 or type(args[1]) is not str:
        return None
    return _known.of(args[1], len(args) > 2 and sql.given(args[2])), _BASE


def _many(args: Arguments, _kwargs: dict[str, Any]) -> Described:
    if len(args) < 2 or type(args[1]) is not str:
        return None
    many = args[2] if len(args) > 2 else None
    return sql.template(sql.statement(args[1], parameters=True), _SCOPE, many), _BASE


def _script(args: Arguments, _kwargs: dict[str, Any]) -> Described:
    return _one(args[:2], _kwargs)


_spanned = Spans(NAME, _one, finish, _CONTRIB, known=_known, base=_BASE).around
_batch, _scripted = (Spans(NAME, describe, finish, _CONTRIB).around for describe in (_many, _script))


def _giving_ours(original: Callable[..., Any]) -> Callable[..., Any]:
    """Connection.cursor(), which execute() and the like call too."""
    return instead(original, Around(original, NAME, ledger.failed, None, None, extra=Cursor))


def _reduce(self: Any, protocol: Any) -> Any:
    base: type = type(self).__mro__[1]
    if protocol < 2:  # "works" without us too
        return copyreg._reconstructor, (base, object, None)  # type: ignore[attr-defined]  # noqa: SLF001
    raise TypeError(f"cannot pickle 'sqlite3.{base.__name__}' object")


class Cursor(sqlite3.Cursor):
    __slots__ = ()
    __doc__ = sqlite3.Cursor.__doc__
    __reduce_ex__ = _reduce
    execute = _spanned(sqlite3.Cursor.execute)
    executemany = _batch(sqlite3.Cursor.executemany)
    executescript = _scripted(sqlite3.Cursor.executescript)


class Connection(sqlite3.Connection):
    __slots__ = ()
    __doc__ = sqlite3.Connection.__doc__
    __reduce_ex__ = _reduce
    execute = _spanned(sqlite3.Connection.execute)
    executemany = _batch(sqlite3.Connection.executemany)
    executescript = _scripted(sqlite3.Connection.executescript)
    cursor = _giving_ours(sqlite3.Connection.cursor)


for _kind in (Cursor, Connection):
    _kind.__module__ = "sqlite3"  # as it looks without us


class Connect:
    """In place of the builtin connect(): no function, which would bind as a method where a builtin does not."""

    def __init__(self, original: Callable[..., Any]) -> None:
        functools.update_wrapper(self, original)
        self.__wrapped__ = original
        self.__text_signature__ = original.__text_signature__  # type: ignore[attr-defined]

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        try:
            if len(args) > _POSITIONAL.index("factory") or "factory" in kwargs:
                return self.__wrapped__(*args, **kwargs)
            if len(args) > 1 and _WARNS and kwargs.keys().isdisjoint(_POSITIONAL[: len(args)]):
                for name in ("sqlite3.connect", "_sqlite3.Connection"):
                    warnings.warn(_DEPRECATED.format(name), DeprecationWarning, stacklevel=2)
                kwargs.update(zip(_POSITIONAL[1:], args[1:], strict=False))
                args = args[:1]
            return self.__wrapped__(*args, factory=Connection, **kwargs)
        except BaseException as error:
            step_aside(error)
            raise

    def __repr__(self) -> str:
        return repr(self.__wrapped__)

    def __reduce__(self) -> str:
        return "connect"  # by name, as a builtin


unseen(Connect.__call__)


def install(module: ModuleType) -> None:
    """``sqlite3``, and the modules from which it has its connect()."""
    owners = (sys.modules.get("_sqlite3"), sqlite3.dbapi2, module)
    original = vars(module).get("connect")
    if not callable(original) or any(vars(owner).get("connect") is not original for owner in owners if owner):
        raise Missing("connect is not there, or replaced by others")
    if type(original) is Connect:
        return
    replacement = Connect(original)
    for owner in owners:
        if owner is not None:
            vars(owner)["connect"] = replacement
