"""SQLAlchemy 2: a CLIENT span around each statement of a driver that has no boundary of its own, inside a trace; and a
span where a connection of a pool has to be waited for.

The statements of sqlite3, psycopg and asyncpg are told by their own boundaries, so that each is one span.
"""

from __future__ import annotations

import functools
import sys
from types import ModuleType
from typing import Any

from aftertrace._native import Around, Template, current
from aftertrace.record.boundaries import contrib, sql
from aftertrace.record.boundaries.calls import Open, around, close, instead, opened, patch_all
from aftertrace.record.boundaries.state import ledger
from aftertrace.record.boundaries.stores import SQLALCHEMY, Servers, address, parent, waiting

NAME = "sqlalchemy"
_SCOPE = "aftertrace.sqlalchemy"
_DRIVERS = {"psycopg": "psycopg", "psycopg_async": "psycopg", "asyncpg": "asyncpg"}  # each with its boundary
_INSTRUMENTORS = {  # contrib's of other drivers
    "pysqlite": ("sqlite3", "SQLite3Instrumentor"),
    "psycopg2": ("psycopg2", "Psycopg2Instrumentor"),
    "pymysql": ("pymysql", "PyMySQLInstrumentor"),
    "mysqldb": ("mysqlclient", "MySQLClientInstrumentor"),
    "mysqlconnector": ("mysql", "MySQLInstrumentor"),
    "pymssql": ("pymssql", "PyMSSQLInstrumentor"),
}
# OpenTelemetry's names of systems where SQLAlchemy has another.
_SYSTEMS = {
    "mssql": "microsoft.sql_server",
    "oracle": "oracle.db",
    "db2": "ibm.db2",
    "hana": "sap.hana",
    "redshift": "aws.redshift",
    "spanner": "gcp.spanner",
}


def _told(context: Any) -> bool:
    """Whether the driver's own boundary makes the span, or contrib's instrumentation of the driver."""
    driver = context.dialect.driver
    boundary = _DRIVERS.get(driver)
    if boundary is not None:
        return ledger.installed(boundary)
    if driver in _INSTRUMENTORS and contrib.instruments(*_INSTRUMENTORS[driver]):
        return True
    ours = sys.modules.get("aftertrace.record.boundaries.sqlite")
    return ours is not None and type(context.cursor) is ours.Cursor


def _listens(connection: Any) -> bool:
    """Whether contrib's instrumentation makes the spans of this connection's engine."""
    if not contrib.instruments(*SQLALCHEMY):
        return False
    listeners = [getattr(listener, "__self__", None) for listener in connection.dispatch.before_cursor_execute]
    return any(type(one).__module__ == "opentelemetry.instrumentation.sqlalchemy.engine" for one in listeners)


def _execute(args: tuple[Any, ...], _kwargs: dict[str, Any]) -> Any:
    """``(connection, dialect, context, ...)``; gives an Open, or what ends the hush. Not asked where the cursor's kind
    is among those of which we have seen that they tell their statements."""
    context = args[2]
    if _listens(args[0]):
        return contrib.hushed.set(True)
    above = parent()
    if above is None:
        return None
    if _told(context):
        _learn(type(context.cursor))
        return None
    text = context.statement
    if type(text) is not str:
        return None
    parameters = context.parameters
    many = parameters if context.executemany else None
    has = bool(many) or (type(parameters) is list and any(map(sql.given, parameters[:1])))
    if not has and context.dialect.identifier_preparer.initial_quote != '"':
        text = _code(text)
    found = _known.of(text, has) if many is None else sql.template(sql.statement(text, parameters=has), _SCOPE, many)
    span = found.span(_base(context))
    return None if span is None else opened(span)


_known = sql.known(_SCOPE)
_tellers: set[type] = set()  # kinds of cursors, of libraries only


def _learn(kind: type) -> None:
    if type(kind) is type and kind.__module__.partition(".")[0] in {"psycopg", "sqlalchemy", "sqlite3"}:
        _tellers.add(kind)


def _executed(state: Any, _result: Any, error: BaseException | None) -> None:
    if type(state) is Open:
        sql.closed(state, None, error)
    else:
        contrib.hushed.reset(state)


def _code(text: str) -> str:
    """Up to the first quote: in dialects that quote names in another way, we do not know where a string ends."""
    ends = [place for place in (text.find('"'), text.find("'")) if place >= 0]
    return text[: min(ends)] if ends else text


def _base(context: Any) -> Template:
    dialect, url = context.dialect, context.root_connection.engine.url
    return _servers(dialect.name).of(url.host, url.port, url.database)


@functools.cache
def _servers(system: str) -> Servers:
    """Of one system: there are as many as the program has dialects."""

    def tell(host: Any, port: Any, database: Any) -> dict[str, Any]:
        told = {"db.system.name": _SYSTEMS.get(system, system), **address(host, port)}
        if type(database) is str:
            told["db.namespace"] = database
        return told

    return Servers(tell)


def _wait(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Open | None:
    """``Queue.get(block, timeout)``: None where a connection lies ready, or none is waited for."""
    if current() is None:
        return None
    block = args[1] if len(args) > 1 else kwargs.get("block", True)
    return waiting(_SCOPE) if block and args[0].empty() else None


def engine(module: ModuleType) -> None:
    """``sqlalchemy.engine.base``."""

    def execute(original: Any) -> Any:
        return instead(original, Around(original, NAME, ledger.failed, _execute, _executed, told=_tellers))

    patch_all(module, {"Connection._exec_single_context": execute, "Connection._exec_insertmany_context": execute})


def queue(module: ModuleType) -> None:
    """``sqlalchemy.util.queue``: the pools' own."""
    wait = around(NAME, _wait, close)
    patch_all(module, {"Queue.get": wait, "AsyncAdaptedQueue.get": wait})
