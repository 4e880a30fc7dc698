"""What the boundaries of data stores add: microseconds of the client's CPU per statement or command, on real servers
of its own (PostgreSQL and Redis must be installed), measured as benchmarks/boundaries.py does it; and nanoseconds of a
wrapper around nothing, with real arguments: the best of many tries, which other work on the machine disturbs least.

    python benchmarks/stores.py
"""

from __future__ import annotations

import asyncio
import sqlite3
import sys
import timeit
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))  # for the tests' servers

from benchmarks.boundaries import Switch, Work, measure, switch
from tests.boundaries import servers

from aftertrace import _native
from aftertrace.record import boundaries

TEXT = "select id, name from orders where id = {} and name <> {}"


def psycopg_execute(dsn: str) -> tuple[Switch, Work]:
    import psycopg

    cursor = psycopg.connect(dsn, autocommit=True).cursor()
    cursor.execute("create temp table orders (id int primary key, name text)")
    text = TEXT.format("%s", "%s")

    def work(number: int) -> None:
        for _ in range(number):
            cursor.execute(text, (1, "x")).fetchall()

    return switch((psycopg.Cursor, "execute")), work


def psycopg_transaction(dsn: str) -> tuple[Switch, Work]:
    import psycopg

    connection = psycopg.connect(dsn)

    def work(number: int) -> None:
        for _ in range(number):
            connection.execute("select 1")
            connection.commit()

    base: Any = psycopg.BaseConnection
    return switch((psycopg.Cursor, "execute"), (base, "_exec_command")), work


def repeated(loop: asyncio.AbstractEventLoop, act: Callable[[], Awaitable[Any]]) -> Work:
    async def acts(number: int) -> None:
        for _ in range(number):
            await act()

    # The span that is current here is current in there: a task runs in a copy of this context.
    return lambda number: loop.run_until_complete(acts(number))


def psycopg_async(dsn: str) -> tuple[Switch, Work]:
    import psycopg

    loop = asyncio.new_event_loop()
    connection = loop.run_until_complete(psycopg.AsyncConnection.connect(dsn, autocommit=True))
    cursor = connection.cursor()
    return switch((psycopg.AsyncCursor, "execute")), repeated(loop, lambda: cursor.execute("select %s::int", (1,)))


def asyncpg_fetch(dsn: str) -> tuple[Switch, Work]:
    import asyncpg

    loop = asyncio.new_event_loop()
    connection = loop.run_until_complete(asyncpg.connect(dsn))
    kind: Any = asyncpg.Connection
    return (
        switch((kind, "fetchrow"), (kind, "_get_statement")),
        repeated(loop, lambda: connection.fetchrow("select $1::int", 1)),
    )


def redis_get(port: int) -> tuple[Switch, Work]:
    import redis

    client = redis.Redis(port=port)

    def work(number: int) -> None:
        for _ in range(number):
            client.get("key")

    return switch((redis.Redis, "execute_command")), work


def redis_pipeline(port: int) -> tuple[Switch, Work]:
    import redis

    pipe = redis.Redis(port=port).pipeline()

    def work(number: int) -> None:
        for _ in range(number):
            for _ in range(10):
                pipe.get("key")
            pipe.execute()

    return switch((redis.client.Pipeline, "execute")), work


def redis_async(port: int) -> tuple[Switch, Work]:
    import redis.asyncio

    loop = asyncio.new_event_loop()
    client = redis.asyncio.Redis(port=port)
    return switch((redis.asyncio.Redis, "execute_command")), repeated(loop, lambda: client.get("key"))


def sqlalchemy_core(url: str, **more: Any) -> tuple[Switch, Work]:
    """Of a driver with a boundary what SQLAlchemy's adds to it is measured, nothing of the driver's own."""
    import sqlalchemy
    from sqlalchemy.engine import base

    connection = sqlalchemy.create_engine(url, **more).connect()
    statement = sqlalchemy.text("select :a + 1")

    def work(number: int) -> None:
        for _ in range(number):
            connection.execute(statement, {"a": 1}).all()

    return switch((base.Connection, "_exec_single_context")), work


def alone(act: Callable[[], object]) -> float:
    """ns of one call."""
    return min(timeit.repeat(act, number=500, repeat=300)) / 500 * 1e9


def wrappers(dsn: str, port: int) -> dict[str, Callable[[], object]]:
    """The boundaries' own wrappers around functions that do nothing."""
    import psycopg
    import redis

    from aftertrace.record.boundaries import psycopg as through_psycopg
    from aftertrace.record.boundaries import redis as through_redis
    from aftertrace.record.boundaries import sql
    from aftertrace.record.boundaries import sqlite as through_sqlite
    from aftertrace.record.boundaries.stores import Spans

    def nothing(*_: object, **__: object) -> None:
        return None

    cursor, client, text = psycopg.connect(dsn).cursor(), redis.Redis(port=port), TEXT.format("%s", "%s")
    pipe = client.pipeline()
    for _ in range(10):
        pipe.get("key")
    execute = Spans(
        "benchmark",
        through_psycopg._execute,  # noqa: SLF001
        sql.finished,
        known=through_psycopg._known,  # noqa: SLF001
        holder="_conn",
    ).around(nothing)
    ask, many = through_redis._commands(nothing), through_redis._pipelines(nothing)  # noqa: SLF001
    statement = through_sqlite._spanned(nothing)  # noqa: SLF001
    return {
        "sqlite3 execute": lambda: statement(None, text, (1, "x")),
        "psycopg execute": lambda: execute(cursor, text, (1, "x")),
        "redis get": lambda: ask(client, "GET", "key"),
        "redis pipeline of 10": lambda: many(pipe),
    }


def main() -> None:
    _native.start(_native.LEVEL_SPANS, ring_bytes=1 << 24, defs_bytes=1 << 16, roots=[], libraries=[])
    boundaries.install()
    _native.attach(_native.Span("benchmark"))
    with servers.postgres() as dsn, servers.redis() as port:
        through = dsn.replace("postgresql:", "postgresql+psycopg:")
        factory = {"factory": sqlite3.Connection}
        cases: dict[str, Callable[[], tuple[Switch, Work]]] = {
            "psycopg execute": lambda: psycopg_execute(dsn),
            "psycopg execute, commit": lambda: psycopg_transaction(dsn),
            "psycopg execute, async": lambda: psycopg_async(dsn),
            "asyncpg fetchrow": lambda: asyncpg_fetch(dsn),
            "redis get": lambda: redis_get(port),
            "redis get, async": lambda: redis_async(port),
            "redis pipeline of 10": lambda: redis_pipeline(port),
            "SQLAlchemy, driver told": lambda: sqlalchemy_core(through),
            "SQLAlchemy, driver not told": lambda: sqlalchemy_core("sqlite://", connect_args=factory),
        }
        print("ns of a wrapper around nothing")
        for name, act in wrappers(dsn, port).items():
            print(f"{name:30} {alone(act):8.0f}", flush=True)
        print(f"{'us of CPU per statement':30} {'bare':>8} {'added':>8}", flush=True)
        for name, make in cases.items():
            bare, added = measure(make, 1000)
            print(f"{name:30} {bare:8.2f} {added:8.2f}", flush=True)


if __name__ == "__main__":
    main()
