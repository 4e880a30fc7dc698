"""psycopg 3, both kinds of connection: a CLIENT span around each statement, COPY, commit and connect, inside a trace.

Of a server-side cursor the DECLARE and each FETCH are spans; of a pipeline, its waiting for the results. A COPY's span
and that of a stream() last as long as the program reads or writes, and are not current meanwhile. A statement that a
pipeline queues is a span that ends at once: its error, if any, is in the PIPELINE that follows, or where it is fetched.

What still tells: a connection's __dict__ holds `_aftertrace`, and the code objects of stream()'s generators are ours.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from types import ModuleType
from typing import Any

from aftertrace._native import Span, Template, attach, current, detach
from aftertrace.record.boundaries import sql
from aftertrace.record.boundaries.calls import CLIENT, Open, around, around_async, close, opened, patch_all
from aftertrace.record.boundaries.stores import Arguments, Described, Instrumentors, Spans, address, parent, waiting

NAME = "psycopg"
_SCOPE = "aftertrace.psycopg"
_SYSTEM = "postgresql"
_CONTRIB: Instrumentors = (("psycopg", "PsycopgInstrumentor"),)
_KNOWN = "_aftertrace"  # in a connection's __dict__: its part of the attributes
_PIECES = 256  # of a composed statement that are read


class _Library:
    """What of psycopg is needed to read what it is given; install() fills it in."""

    sql: Any = None
    to_dict: Callable[[str], dict[str, Any]] = staticmethod(lambda _: {})
    failure: type[Exception] = Exception


# -- what a statement says


def _text(query: Any) -> str | None:
    """The statement as it is written, values in a composed one left out; None: of a kind that we do not know."""
    if type(query) is str:
        return query
    if type(query) is bytes:
        return query[: sql.MOST_READ].decode("utf-8", "replace")
    return _composed(query)


def _composed(query: Any) -> str | None:
    kinds = _Library.sql
    if type(query) not in {kinds.SQL, kinds.Composed, kinds.Identifier, kinds.Placeholder, kinds.Literal}:
        return None
    told, left = [], [query]
    for _ in range(_PIECES):
        if not left:
            break
        piece = left.pop()
        if type(piece) is kinds.Composed:
            left.extend(reversed(piece._obj))  # noqa: SLF001  # its parts have no other name
        elif type(piece) is kinds.SQL:
            told.append(piece._obj)  # noqa: SLF001
        elif type(piece) is kinds.Identifier:
            told.append(".".join('"' + name.replace('"', '""') + '"' for name in piece._obj))  # noqa: SLF001
        elif type(piece) is kinds.Placeholder:
            told.append(f"%({piece._obj})s" if piece._obj else "%s")  # noqa: SLF001
        else:
            told.append("?")
    return "".join(told)


def _base(connection: Any) -> Template:
    """What is told of a connection, kept in it."""
    fields: dict[str, Any] = object.__getattribute__(connection, "__dict__")
    known: Template | None = fields.get(_KNOWN)
    if known is None:
        known = fields[_KNOWN] = Template("", CLIENT, _server(connection))
    return known


def _server(connection: Any) -> dict[str, Any]:
    told: dict[str, Any] = {"db.system.name": _SYSTEM}
    try:
        info = connection.info
        told |= address(info.host, info.port)
        if told.get("server.address", "").startswith("/"):
            told.pop("server.port", None)  # a socket's directory
        told["db.namespace"] = info.dbname
    except _Library.failure:  # a closed connection knows nothing
        pass
    return told


_known = sql.known(_SCOPE)


def _execute(args: Arguments, kwargs: dict[str, Any]) -> Described:
    query = args[1] if len(args) > 1 else kwargs.get("query", kwargs.get("statement"))
    parameters = args[2] if len(args) > 2 else kwargs.get("params")
    return _known.of(_text(query) or "", sql.given(parameters)), _base(args[0]._conn)  # noqa: SLF001  # no other way


def _many(args: Arguments, kwargs: dict[str, Any]) -> Described:
    query = args[1] if len(args) > 1 else kwargs.get("query")
    parameters = args[2] if len(args) > 2 else kwargs.get("params_seq")
    found = sql.statement(_text(query) or "", parameters=True)
    return sql.template(found, _SCOPE, parameters), _base(args[0]._conn)  # noqa: SLF001


# -- what psycopg says to the server by itself: it runs within one call of the program's


def _command(args: Arguments, _kwargs: dict[str, Any]) -> Described:
    """COMMIT, SAVEPOINT, FETCH ...; None for what belongs to a statement's span, and for what only joins a queue."""
    if _in_a_call() or args[0]._pipeline is not None:  # noqa: SLF001
        return None
    return _known.of(_text(args[1]) or "", False), _base(args[0])  # without parameters


def _sync(args: Arguments, kwargs: dict[str, Any]) -> Described:
    """A pipeline's waiting; None where nothing is waited for, and within another's."""
    pipeline = args[0]
    if _in_a_call() or kwargs.get("flush") is False or not (pipeline.result_queue or pipeline.command_queue):
        return None
    return _PIPELINE, _base(pipeline._conn)  # noqa: SLF001


def _in_a_call() -> bool:
    above = current()
    return above is None or above.kind == CLIENT


_PIPELINE = Template("PIPELINE", CLIENT, {"db.operation.name": "PIPELINE"}, _SCOPE)


# -- connecting


def _connect(args: Arguments, kwargs: dict[str, Any]) -> Open | None:
    above = parent()
    if above is None:
        return None
    asked: dict[str, Any] = {}
    written = args[1] if len(args) > 1 else kwargs.get("conninfo", "")
    if type(written) is str and written:
        with contextlib.suppress(_Library.failure):  # the program is about to be told
            asked = _Library.to_dict(written)
    asked |= kwargs
    told = {"db.system.name": _SYSTEM, **address(asked.get("host"), asked.get("port"))}
    if type(asked.get("dbname")) is str:
        told["db.namespace"] = asked["dbname"]
    return opened(Span("connect", CLIENT, above, told, None, None, _SCOPE))


def _connected(state: Open, connection: Any, error: BaseException | None) -> None:
    if error is None:
        state.span.set_attributes(_server(connection))
    sql.closed(state, None, error)


# -- in their places


def _managed(generator: Callable[[Any], Any], manager: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """For copy(): the generator behind the context manager is wrapped, so that the manager is psycopg's kind."""

    def make(original: Any) -> Any:
        return manager(generator(original.__wrapped__))

    return make


def install(module: ModuleType) -> None:
    """``psycopg``."""
    library: Any = module
    pipeline = next((kind for kind in library.Pipeline.__mro__ if "_sync_gen" in vars(kind)), None)
    statements = Spans(NAME, _execute, sql.finished, _CONTRIB, known=_known, holder="_conn")
    batches = Spans(NAME, _many, sql.finished, _CONTRIB)
    waits = Spans(NAME, _sync, sql.finished).within
    connect = library.connect
    patch_all(pipeline, {"_sync_gen": waits, "_exit_gen": waits, "_fetch_gen": waits})
    patch_all(
        module,
        {
            "BaseConnection._exec_command": Spans(NAME, _command, sql.finished).within,
            "Connection.connect": around(NAME, _connect, _connected),
            "AsyncConnection.connect": around_async(NAME, _connect, _connected),
            "Cursor.execute": statements.around,
            "Cursor.executemany": batches.around,
            "Cursor.stream": statements.stream,
            "Cursor.copy": _managed(statements.stream, contextlib.contextmanager),
            "ServerCursor.execute": statements.around,
            "AsyncCursor.execute": statements.around_async,
            "AsyncCursor.executemany": batches.around_async,
            "AsyncCursor.stream": statements.stream_async,
            "AsyncCursor.copy": _managed(statements.stream_async, contextlib.asynccontextmanager),
            "AsyncServerCursor.execute": statements.around_async,
        },
    )
    if connect.__func__ is library.Connection.connect.__wrapped__:
        library.connect = library.Connection.connect
    _Library.sql, _Library.failure, _Library.to_dict = library.sql, library.Error, library.conninfo.conninfo_to_dict


def pool(module: ModuleType) -> None:
    """``psycopg_pool``: getconn() that has to wait is a span; the pool's own tasks, which live longer than the request
    in which they happen to start, begin in none (as its threads do: boundaries.threads)."""
    patch_all(
        module,
        {
            "pool.WaitingClient.wait": around(NAME, _wait, close),
            "pool_async.WaitingClient.wait": around_async(NAME, _wait, close),
            "pool_async.AsyncConnectionPool.worker": around_async(NAME, _leave, _back),
            "sched_async.AsyncScheduler.run": around_async(NAME, _leave, _back),
        },
    )


def _wait(args: Arguments, _kwargs: dict[str, Any]) -> Open | None:
    client = args[0]
    return None if client.conn or client.error else waiting(_SCOPE, _SYSTEM)


def _leave(_args: Arguments, _kwargs: dict[str, Any]) -> Any:
    return attach(None)


def _back(token: Any, _result: Any, _error: BaseException | None) -> None:
    detach(token)
