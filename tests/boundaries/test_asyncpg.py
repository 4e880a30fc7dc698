"""asyncpg on a real server: what a program can see is as it is bare; in a trace, each statement is a span."""

from __future__ import annotations

import textwrap
from urllib.parse import urlsplit

import pytest

from .conftest import CLIENT, Runner

BEGIN = """
import asyncio, os, sys
import asyncpg
DSN = os.environ["DSN"]
"""
TRACED = """
if "aftertrace._native" in sys.modules:
    from aftertrace import _native as _n
    _n.attach(_n.Span("all"))
"""

SAME = {
    "what it looks like": """
        import inspect, pickle
        for kind, names in ((asyncpg.Connection, "execute fetch fetchval fetchrow executemany copy_records_to_table"),
                            (asyncpg.pool.PoolConnectionProxy, "execute fetch fetchval fetchrow executemany"),
                            (asyncpg.prepared_stmt.PreparedStatement, "fetch fetchval fetchrow executemany"),
                            (asyncpg.Pool, "_acquire acquire")):
            for name in names.split():
                f = getattr(kind, name)
                print(f.__name__, f.__qualname__, f.__module__, f.__doc__, inspect.signature(f))
                print(type(f), inspect.iscoroutinefunction(f))
                if kind is asyncpg.Connection: print(pickle.loads(pickle.dumps(f)) is f)
        print(inspect.signature(asyncpg.connect))
    """,
    "errors with their tracebacks": """
        import traceback
        async def attempt(work):
            try: await work
            except BaseException: traceback.print_exc()
        async def limited(seconds, work):
            async with asyncio.timeout(seconds): await work
        async def through(cursor):
            async for row in cursor: pass
        async def numbers():
            yield b"1\\n"
            raise LookupError("from the generator")
        class Text(str):
            def __hash__(self): raise SystemExit("asked")
        async def main():
            c = await asyncpg.connect(DSN)
            await c.execute("create temp table t (a int primary key)")
            await attempt(c.execute("selec 1"))
            await attempt(c.execute("select $1::int", 1, 2))
            await attempt(c.execute("select $1::int", "x"))
            await attempt(c.execute(7))
            await attempt(c.fetch("selec $1", 1))
            await attempt(c.fetchval("select nothing"))
            await attempt(c.fetchrow("select 1", timeout="x"))
            await attempt(c.fetchval(b"select 1"))
            await attempt(c.executemany("insert into t values ($1)", [(1,), (1,)]))
            await attempt(c.prepare("selec 1"))
            statement = await c.prepare("select 1 / $1::int")
            await attempt(statement.fetchval(0))
            await attempt(through(c.cursor("select 1")))
            async def inside(statement):
                async with c.transaction(): await through(c.cursor(statement))
            await attempt(inside("selec 1"))
            await attempt(inside("select 1 / (n - 60) from generate_series(1, 100) n"))
            await attempt(c.copy_to_table("t", source=numbers()))
            await attempt(c.copy_to_table("nothing", source=numbers()))
            await attempt(c.copy_from_query("selec 1", output=os.devnull))
            await attempt(c.copy_records_to_table("t", records=[("x",)]))
            await attempt(c.copy_records_to_table("nothing", records=[]))
            await attempt(limited(0.05, c.execute("select pg_sleep(20)")))
            await attempt(c.execute("select pg_sleep(20)", timeout=0.05))
            task = asyncio.create_task(c.fetch("select pg_sleep(20)")); await asyncio.sleep(0.05); task.cancel()
            try: await task
            except asyncio.CancelledError as e: print(type(e), task.cancelled())
            print(await c.fetchval("select 1"))
            await attempt(asyncio.gather(c.fetchval("select 1"), c.fetchval("select 2")))
            await c.close()
            await attempt(c.execute("select 1"))
            await attempt(asyncpg.connect(host="127.0.0.1", port=1, password="secret"))
            await attempt(asyncpg.connect("postgresql://app:secret@127.0.0.1:1/x"))
            await attempt(asyncpg.connect("nonsense"))
            await attempt(asyncpg.connect("postgresql://[:x/"))
            await attempt(asyncpg.connect(DSN + "-not-there"))
            async with asyncpg.create_pool(DSN, min_size=1, max_size=1) as pool:
                await attempt(pool.fetch("selec 1"))
                async with pool.acquire() as c:
                    await attempt(pool.acquire(timeout=0.05))
                await attempt(c.execute("select 1"))
            await attempt(pool.acquire())
        asyncio.run(main())
    """,
    "kinds of its own, and nothing held": """
        import weakref
        class Con(asyncpg.Connection):
            async def execute(self, query, *args, timeout=None):
                print("mine", query)
                return await super().execute(query, *args, timeout=timeout)
            def __eq__(self, other): raise SystemExit("asked")
            __hash__ = None
        async def main():
            c = await asyncpg.connect(DSN, connection_class=Con)
            seen = []
            c.add_query_logger(lambda record: seen.append((record.query, record.args)))
            print(type(c), await c.execute("select 1"), await c.fetchval("select 'x'"))
            text, values = "select $1::int" + " " * 1000, [object() for _ in range(3)]
            for _ in range(50):
                for value in values:
                    try: await c.fetch(text, value)
                    except asyncpg.DataError: pass
                    try: await c.execute("selec " + text, value)
                    except asyncpg.PostgresError: pass
            await asyncio.sleep(0)
            print(seen[:2]); seen.clear()
            print(sys.getrefcount(text), [sys.getrefcount(value) for value in values])
            print(len(await c.fetchval("select '" + "x" * 3_000_000 + "'")))
            await c.close()
        asyncio.run(main())
    """,
}


@pytest.mark.parametrize("name", SAME)
def test_a_program_sees_no_difference(runner: Runner, postgres: str, name: str):
    ran = runner.same(BEGIN + TRACED + textwrap.dedent(SAME[name]), DSN=postgres)
    assert all(span.ended for span in ran.recorded.of(CLIENT))
    assert "secret" not in repr([span.attributes for span in ran.recorded.spans])


def test_each_statement_is_one_span(runner: Runner, postgres: str):
    ran = runner.good(
        BEGIN
        + """
from aftertrace import _native
async def main():
    quiet = await asyncpg.connect(DSN); await quiet.execute("select 'outside a trace'"); await quiet.close()
    outer = _native.Span("all"); token = _native.attach(outer)
    connection = await asyncpg.connect(DSN)
    await connection.execute("create temp table orders (id int primary key, name text)")
    await connection.execute("insert into orders values ($1, $2)", 1, "secret-one")
    await connection.executemany("insert into orders values ($1, $2)", [(2, "secret-two"), (3, "secret-three")])
    await connection.execute("insert into orders values (4, 'secret-four')")
    assert await connection.fetchval("select name from orders where id = $1", 1) == "secret-one"
    assert len(await connection.fetch("select * from orders")) == 4
    assert (await connection.fetchrow("select * from orders where id = $1", 2))["name"] == "secret-two"
    prepared = await connection.prepare("select id from orders where name = $1")
    assert await prepared.fetchval("secret-one") == 1
    await prepared.executemany([("secret-one",)])
    async with connection.transaction():
        rows = connection.cursor("select id from orders order by id", prefetch=3)
        assert [row["id"] async for row in rows] == [1, 2, 3, 4]
        cursor = await connection.cursor("select id from orders where id > $1", 1)
        assert len(await cursor.fetch(2)) == 2
    await connection.copy_records_to_table("orders", records=[(5, "secret-five")])
    await connection.copy_from_query("select * from orders where name = $1", "secret-one", output=os.devnull)
    try: await connection.execute("insert into orders values ($1)", 1)
    except asyncpg.UniqueViolationError: pass
    assert _native.current() is outer
    await connection.close()
    _native.detach(token)
asyncio.run(main())
""",
        DSN=postgres,
    )
    found, where = ran.recorded, urlsplit(postgres)
    spans = found.of(CLIENT)
    assert [(s.name, s.attributes.get("db.query.text"), s.attributes.get("db.operation.name")) for s in spans] == [
        ("connect", None, None),
        ("CREATE TABLE orders", "create temp table orders (id int primary key, name text)", "CREATE"),
        ("INSERT orders", "insert into orders values ($1, $2)", "INSERT"),
        ("INSERT orders", "insert into orders values ($1, $2)", "BATCH INSERT"),
        ("INSERT orders", "insert into orders values (?, ?)", "INSERT"),
        ("SELECT orders", "select name from orders where id = $1", "SELECT"),
        ("SELECT orders", "select * from orders", "SELECT"),
        ("SELECT orders", "select * from orders where id = $1", "SELECT"),
        ("PREPARE SELECT orders", "select id from orders where name = $1", "PREPARE"),
        ("SELECT orders", "select id from orders where name = $1", "SELECT"),
        ("SELECT orders", "select id from orders where name = $1", "SELECT"),
        ("BEGIN", "BEGIN;", "BEGIN"),
        ("PREPARE SELECT orders", "select id from orders order by id", "PREPARE"),
        ("SELECT orders", "select id from orders order by id", "SELECT"),
        ("FETCH SELECT orders", "select id from orders order by id", "FETCH"),
        ("PREPARE SELECT orders", "select id from orders where id > $1", "PREPARE"),
        ("FETCH SELECT orders", "select id from orders where id > $1", "FETCH"),
        ("COMMIT", "COMMIT;", "COMMIT"),
        ("COPY orders", 'COPY "orders" FROM STDIN', "COPY"),
        ("PREPARE SELECT orders", 'SELECT * FROM "orders" LIMIT ?', "PREPARE"),
        ("PREPARE SELECT orders", "select * from orders where name = $1", "PREPARE"),
        ("SELECT", 'SELECT quote_literal($1::"pg_catalog"."text"::text)', "SELECT"),
        ("COPY", "COPY (select * from orders where name = ?) TO STDOUT", "COPY"),
        ("INSERT orders", "insert into orders values ($1)", "INSERT"),
    ]
    copying = found.named("COPY orders")[0].id
    for span in spans:
        assert span.ended
        assert span.parent in {found.named("all")[0].id, copying}
        told = span.attributes
        assert (told["db.system.name"], told["server.address"]) == ("postgresql", "127.0.0.1")
        assert (told["server.port"], told["db.namespace"]) == (where.port, "postgres")
    assert [
        (s.name, s.attributes["error.type"], s.attributes["db.response.status_code"]) for s in spans if s.status
    ] == [("INSERT orders", "UniqueViolationError", "23505")]
    everything = repr([(span.name, span.attributes) for span in found.spans])
    assert "secret" not in everything
    assert "not-to-be-told" not in everything


def test_pools_contrib_and_cancellation(runner: Runner, postgres: str):
    ran = runner.good(
        BEGIN
        + """
from aftertrace import _native
from opentelemetry.instrumentation.asyncpg import AsyncPGInstrumentor
from opentelemetry.instrumentation.utils import suppress_instrumentation
def under(name): return _native.attach(_native.Span(name, 1, None))
async def main():
    pool = await asyncpg.create_pool(DSN, min_size=1, max_size=1)
    under("first"); await pool.fetch("select 1")
    async def second():
        under("second"); await pool.fetch("select 2")
    under("holds")
    async with pool.acquire() as c:
        task = asyncio.create_task(second())
        await asyncio.sleep(0)
        await c.execute("select 3")
    await task
    async def sleeps():
        under("cancelled"); await pool.fetch("select pg_sleep(20)")
    try: await asyncio.wait_for(sleeps(), 0.1)
    except TimeoutError: pass
    under("suppressed")
    with suppress_instrumentation(): await pool.fetch("select 4")
    AsyncPGInstrumentor().instrument()
    under("contrib"); await pool.fetch("select 5")
    AsyncPGInstrumentor().uninstrument()
    under("ours again"); await pool.fetch("select 6")
    await pool.close()
asyncio.run(main())
""",
        DSN=postgres,
    )
    found = ran.recorded
    names = {span.id: span.name for span in found.spans}
    assert all(span.ended for span in found.spans if span.parent in names)
    seen = [(names[s.parent], s.name.split(";")[0].upper()) for s in found.spans if s.parent in names]
    resets = [(parent, name) for parent, name in seen if name == "SELECT"]  # and what release() asks
    assert ("second", "WAIT FOR A CONNECTION") in seen
    assert {parent for parent, _ in seen} == {"first", "holds", "second", "cancelled", "contrib", "ours again"}
    assert resets.count(("first", "SELECT")) == 2
    contrib = [s.scope.rpartition(".")[0] for s in found.of(CLIENT) if names[s.parent] == "contrib"]
    assert set(contrib) == {"opentelemetry.instrumentation"}
