"""asyncpg: a CLIENT span around each statement, COPY, prepare and connect, inside a trace.

A cursor's first rows carry the name of its statement, each further portion is a FETCH; acquire() that has to wait for
a connection of the pool is a span of its own.
"""

from __future__ import annotations

from contextlib import suppress
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

from aftertrace._native import Known, Span, Template
from aftertrace.record.boundaries import sql
from aftertrace.record.boundaries.calls import CLIENT, Open, around_async, close, opened, patch_all
from aftertrace.record.boundaries.stores import (
    Arguments,
    Described,
    Instrumentors,
    Servers,
    Spans,
    address,
    parent,
    waiting,
)

NAME = "asyncpg"
_SCOPE = "aftertrace.asyncpg"
_SYSTEM = "postgresql"
_CONTRIB: Instrumentors = (("asyncpg", "AsyncPGInstrumentor"),)


def _tell(host: Any, port: Any, database: Any) -> dict[str, Any]:
    told = {"db.system.name": _SYSTEM, "server.address": host}
    if port is not None:
        told["server.port"] = port
    return {**told, "db.namespace": database}


_servers = Servers(_tell)


def _where(connection: Any) -> tuple[Any, Any, Any]:
    server, database = connection._addr, connection._params.database  # noqa: SLF001  # there is no other way
    return (*server, database) if type(server) is tuple else (server, None, database)  # the latter: a socket's path


def _base(connection: Any) -> Template:
    return _servers.of(*_where(connection))


def _as(prefix: str) -> Known:
    """Of statements for which something else is done than executing them."""
    return sql.known(_SCOPE, lambda found: found._replace(name=f"{prefix} {found.name}", operation=prefix))


_known, _preparations, _portions = sql.known(_SCOPE), _as("PREPARE"), _as("FETCH")


def _said(connection: Any, text: Any, parameters: bool, known: Known = _known) -> Described:
    return (known.of(text, parameters), _base(connection)) if type(text) is str else None


def _simple(args: Arguments, kwargs: dict[str, Any]) -> Described:
    """``(connection, query, *args)``."""
    return _said(args[0], args[1] if len(args) > 1 else kwargs.get("query"), len(args) > 2)


def _many(args: Arguments, kwargs: dict[str, Any]) -> Described:
    text = args[1] if len(args) > 1 else kwargs.get("command", kwargs.get("query"))
    many = args[2] if len(args) > 2 else kwargs.get("args")
    if type(text) is not str:
        return None
    return sql.template(sql.statement(text, parameters=True), _SCOPE, many), _base(args[0])


def _preparing(args: Arguments, kwargs: dict[str, Any]) -> Described:
    """None where a statement only looks for itself in the cache."""
    return _said(args[0], args[1], _has(args[1]), _preparations) if kwargs.get("named") else None


def _has(query: Any) -> bool:
    """Whether a statement that is prepared has parameters."""
    return type(query) is str and "$1" in query


def _prepared(args: Arguments, _kwargs: dict[str, Any]) -> Described:
    query = args[0]._query  # noqa: SLF001  # a statement's or a cursor's
    return _said(args[0]._connection, query, _has(query))  # noqa: SLF001


def _portion(args: Arguments, _kwargs: dict[str, Any]) -> Described:
    query = args[0]._query  # noqa: SLF001
    return _said(args[0]._connection, query, _has(query), _portions)  # noqa: SLF001


def _copy(args: Arguments, _kwargs: dict[str, Any]) -> Described:
    return _said(args[0], args[1], False)


def _records(args: Arguments, kwargs: dict[str, Any]) -> Described:
    """``copy_records_to_table(table, *, records, columns, schema_name)``, which has no text of its own."""
    path = [kwargs.get("schema_name"), args[1] if len(args) > 1 else kwargs.get("table_name")]
    names = [name.replace('"', '""') for name in path if type(name) is str]
    return _said(args[0], "COPY " + ".".join(f'"{name}"' for name in names) + " FROM STDIN", True)


def _connect(_args: Arguments, kwargs: dict[str, Any]) -> Open | None:
    above = parent()
    if above is None:
        return None
    host, port = kwargs.get("host"), kwargs.get("port")
    dsn = kwargs.get("dsn")
    if host is None and type(dsn) is str:
        host, port = _written(dsn)
    return opened(
        Span("connect", CLIENT, above, {"db.system.name": _SYSTEM, **address(host, port)}, None, None, _SCOPE)
    )


def _written(dsn: str) -> tuple[str | None, int | None]:
    with suppress(ValueError):  # several hosts, or none at all
        parts = urlsplit(dsn)
        return parts.hostname, parts.port
    return None, None


def _connected(state: Open, connection: Any, error: BaseException | None) -> None:
    if error is None:
        state.span.set_attributes(_tell(*_where(connection)))
    sql.closed(state, None, error)


def _acquire(args: Arguments, _kwargs: dict[str, Any]) -> Open | None:
    pool = args[0]
    ready = pool._initialized and not pool._closing and pool._queue.empty()  # noqa: SLF001
    return waiting(_SCOPE, _SYSTEM) if ready else None


def install(module: ModuleType) -> None:
    """``asyncpg``."""
    simple, copy, prepared, portion, many, preparing, records = (
        Spans(NAME, describe, sql.finished, _CONTRIB).around_async
        for describe in (_simple, _copy, _prepared, _portion, _many, _preparing, _records)
    )
    patch_all(
        module,
        {
            "connect_utils._connect": around_async(NAME, _connect, _connected),
            "connection.Connection.execute": simple,
            "connection.Connection.fetch": simple,
            "connection.Connection.fetchval": simple,
            "connection.Connection.fetchrow": simple,
            "connection.Connection._executemany": many,
            "connection.Connection._get_statement": preparing,
            "connection.Connection._copy_out": copy,
            "connection.Connection._copy_in": copy,
            "connection.Connection.copy_records_to_table": records,
            "prepared_stmt.PreparedStatement._PreparedStatement__do_execute": prepared,
            "cursor.BaseCursor._bind_exec": prepared,
            "cursor.BaseCursor._exec": portion,
            "pool.Pool._acquire": around_async(NAME, _acquire, close),
        },
    )
