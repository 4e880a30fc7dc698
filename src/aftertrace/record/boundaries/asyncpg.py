"""asyncpg: a CLIENT span around each statement, COPY, prepare and connect, inside a trace.

A cursor's first rows carry the name of its statement, each further portion is a FETCH; acquire() that has to wait for
a connection of the pool is a span of its own.
"""

from __future__ import annotations

from contextlib import suppress
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

from aftertrace._native import Span
from aftertrace.record.boundaries import sql
from aftertrace.record.boundaries.calls import CLIENT, Open, around_async, close, opened, patch_all
from aftertrace.record.boundaries.stores import Instrumentors, address, parent, waiting

NAME = "asyncpg"
_SCOPE = "aftertrace.asyncpg"
_SYSTEM = "postgresql"
_CONTRIB: Instrumentors = (("asyncpg", "AsyncPGInstrumentor"),)


def _base(connection: Any) -> dict[str, Any]:
    server, told = connection._addr, {"db.system.name": _SYSTEM}  # noqa: SLF001  # there is no other way
    if type(server) is tuple:
        told["server.address"], told["server.port"] = server
    else:
        told["server.address"] = server  # a socket's path
    told["db.namespace"] = connection._params.database  # noqa: SLF001
    return told


def _begun(connection: Any, text: Any, *, parameters: bool, many: Any = None, prefix: str = "") -> Open | None:
    above = parent(_CONTRIB)
    if above is None or type(text) is not str:
        return None
    found = sql.statement(text, parameters=parameters)
    if prefix:
        found = found._replace(name=f"{prefix} {found.name}", operation=prefix)
    return opened(sql.span(found, above, _base(connection), _SCOPE, many))


def _simple(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Open | None:
    """``(connection, query, *args)``."""
    return _begun(args[0], args[1] if len(args) > 1 else kwargs.get("query"), parameters=len(args) > 2)


def _many(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Open | None:
    text = args[1] if len(args) > 1 else kwargs.get("command", kwargs.get("query"))
    return _begun(args[0], text, parameters=True, many=args[2] if len(args) > 2 else kwargs.get("args"))


def _preparing(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Open | None:
    """None where a statement only looks for itself in the cache."""
    return _begun(args[0], args[1], parameters=_has(args[1]), prefix="PREPARE") if kwargs.get("named") else None


def _has(query: Any) -> bool:
    """Whether a statement that is prepared has parameters."""
    return type(query) is str and "$1" in query


def _prepared(args: tuple[Any, ...], _kwargs: dict[str, Any]) -> Open | None:
    query = args[0]._query  # noqa: SLF001  # a statement's or a cursor's
    return _begun(args[0]._connection, query, parameters=_has(query))  # noqa: SLF001


def _portion(args: tuple[Any, ...], _kwargs: dict[str, Any]) -> Open | None:
    query = args[0]._query  # noqa: SLF001
    return _begun(args[0]._connection, query, parameters=_has(query), prefix="FETCH")  # noqa: SLF001


def _copy(args: tuple[Any, ...], _kwargs: dict[str, Any]) -> Open | None:
    return _begun(args[0], args[1], parameters=False)


def _records(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Open | None:
    """``copy_records_to_table(table, *, records, columns, schema_name)``, which has no text of its own."""
    path = [kwargs.get("schema_name"), args[1] if len(args) > 1 else kwargs.get("table_name")]
    names = [name.replace('"', '""') for name in path if type(name) is str]
    return _begun(args[0], "COPY " + ".".join(f'"{name}"' for name in names) + " FROM STDIN", parameters=True)


def _connect(_args: tuple[Any, ...], kwargs: dict[str, Any]) -> Open | None:
    above = parent(())
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
        state.span.set_attributes(_base(connection))
    sql.closed(state, None, error)


def _acquire(args: tuple[Any, ...], _kwargs: dict[str, Any]) -> Open | None:
    pool = args[0]
    ready = pool._initialized and not pool._closing and pool._queue.empty()  # noqa: SLF001
    return waiting(_SCOPE, _SYSTEM) if ready else None


def install(module: ModuleType) -> None:
    """``asyncpg``."""
    simple, copy = around_async(NAME, _simple, sql.closed), around_async(NAME, _copy, sql.closed)
    prepared, portion = around_async(NAME, _prepared, sql.closed), around_async(NAME, _portion, sql.closed)
    patch_all(
        module,
        {
            "connect_utils._connect": around_async(NAME, _connect, _connected),
            "connection.Connection.execute": simple,
            "connection.Connection.fetch": simple,
            "connection.Connection.fetchval": simple,
            "connection.Connection.fetchrow": simple,
            "connection.Connection._executemany": around_async(NAME, _many, sql.closed),
            "connection.Connection._get_statement": around_async(NAME, _preparing, sql.closed),
            "connection.Connection._copy_out": copy,
            "connection.Connection._copy_in": copy,
            "connection.Connection.copy_records_to_table": around_async(NAME, _records, sql.closed),
            "prepared_stmt.PreparedStatement._PreparedStatement__do_execute": prepared,
            "cursor.BaseCursor._bind_exec": prepared,
            "cursor.BaseCursor._exec": portion,
            "pool.Pool._acquire": around_async(NAME, _acquire, close),
        },
    )
