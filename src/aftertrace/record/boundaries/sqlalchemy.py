"""SQLAlchemy 2: a CLIENT span around each statement of a driver that has no boundary of its own, inside a trace; and a
span where a connection of a pool has to be waited for.

The statements of sqlite3, psycopg and asyncpg are told by their own boundaries, so that each is one span.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

from aftertrace.record.boundaries import contrib, sql
from aftertrace.record.boundaries.calls import Open, around, close, opened, patch_all
from aftertrace.record.boundaries.state import ledger
from aftertrace.record.boundaries.stores import SQLALCHEMY, address, hushed, parent, waiting

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
    """``(connection, dialect, context, ...)``; gives an Open, or what ends the hush."""
    context = args[2]
    if _listens(args[0]):
        return hushed.set(True)
    if _told(context):
        return None
    above = parent(())
    text = context.statement
    if above is None or type(text) is not str:
        return None
    parameters = context.parameters
    many = parameters if context.executemany else None
    has = bool(many) or (type(parameters) is list and any(map(sql.given, parameters[:1])))
    if not has and context.dialect.identifier_preparer.initial_quote != '"':
        text = _code(text)
    found = sql.statement(text, parameters=has)
    return opened(sql.span(found, above, _base(context), _SCOPE, many))


def _executed(state: Any, _result: Any, error: BaseException | None) -> None:
    if type(state) is Open:
        sql.closed(state, None, error)
    else:
        hushed.reset(state)


def _code(text: str) -> str:
    """Up to the first quote: in dialects that quote names in another way, we do not know where a string ends."""
    ends = [place for place in (text.find('"'), text.find("'")) if place >= 0]
    return text[: min(ends)] if ends else text


def _base(context: Any) -> dict[str, Any]:
    dialect, url = context.dialect, context.root_connection.engine.url
    told = {"db.system.name": _SYSTEMS.get(dialect.name, dialect.name), **address(url.host, url.port)}
    if type(url.database) is str:
        told["db.namespace"] = url.database
    return told


def _wait(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Open | None:
    """``Queue.get(block, timeout)``: None where a connection lies ready, or none is waited for."""
    block = args[1] if len(args) > 1 else kwargs.get("block", True)
    return waiting(_SCOPE) if block and args[0].empty() else None


def engine(module: ModuleType) -> None:
    """``sqlalchemy.engine.base``."""
    execute = around(NAME, _execute, _executed)
    patch_all(module, {"Connection._exec_single_context": execute, "Connection._exec_insertmany_context": execute})


def queue(module: ModuleType) -> None:
    """``sqlalchemy.util.queue``: the pools' own."""
    wait = around(NAME, _wait, close)
    patch_all(module, {"Queue.get": wait, "AsyncAdaptedQueue.get": wait})
