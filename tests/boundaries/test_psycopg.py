"""psycopg on a real server: what a program can see is as it is bare; in a trace, each statement is a span."""

from __future__ import annotations

import textwrap
from typing import Any
from urllib.parse import urlsplit

import pytest

from .conftest import CLIENT, Recorded, Runner

# What the programs share: ROWS is a table of their own, gone with the connection.
BEGIN = """
import asyncio, os, sys
import psycopg
from psycopg import sql
DSN = os.environ["DSN"]
"""
TRACED = """
if "aftertrace._native" in sys.modules:
    from aftertrace import _native as _n
    _n.attach(_n.Span("all"))
"""

SAME = {
    "what it looks like": """
        import inspect, pickle, functools
        for name in ("Cursor.execute", "Cursor.executemany", "Cursor.stream", "Cursor.copy", "Connection.connect",
                     "ServerCursor.execute", "AsyncCursor.execute", "AsyncCursor.stream", "AsyncCursor.copy",
                     "AsyncServerCursor.execute", "AsyncConnection.connect", "BaseConnection._exec_command"):
            owner, _, last = name.partition(".")
            kind = getattr(psycopg, owner)
            f = getattr(kind, last)
            print(f.__name__, f.__qualname__, f.__module__, f.__doc__, inspect.signature(f), type(vars(kind)[last]))
            asked = [getattr(inspect, f"is{kind}") for kind in ("coroutinefunction", "generatorfunction")]
            print([ask(f) for ask in asked], inspect.isasyncgenfunction(f), inspect.ismethod(f))
            print(pickle.loads(pickle.dumps(f)) == f)
        print(psycopg.connect == psycopg.Connection.connect, psycopg.connect.__self__)
        with psycopg.connect(DSN) as c:
            rows = c.cursor().stream("select generate_series(1, 3)")
            manager = c.cursor().copy("copy (select 1) to stdout")
            print(type(rows), rows.__name__, rows.__qualname__, type(manager), list(rows))
            with manager as copy: print(type(copy), [bytes(data) for data in copy])
            for thing in (c, c.cursor()):
                try: pickle.dumps(thing)
                except TypeError as e: print(str(e).partition(" at ")[0])
    """,
    "errors with their tracebacks": """
        import traceback, logging
        logging.basicConfig(format="%(name)s %(funcName)s %(message)s")
        def attempt(act):
            try: act()
            except BaseException: traceback.print_exc()
        c = psycopg.connect(DSN, autocommit=True)
        c.execute("create temp table t (a int primary key)")
        def numbers():
            yield (1,)
            raise LookupError("from the generator")
        def copying(statement, act):
            with c.cursor().copy(statement) as copy: act(copy)
        attempt(lambda: c.execute("selec 1"))
        attempt(lambda: c.cursor().execute("select %s", (1, 2)))
        attempt(lambda: c.cursor().execute("select %s", 3))
        attempt(lambda: c.cursor().execute("select %s", (object(),)))
        attempt(lambda: c.cursor().execute(7))
        attempt(lambda: c.cursor().execute())
        attempt(lambda: c.cursor().execute("select 1", nothing=2))
        attempt(lambda: c.cursor().executemany("insert into t values (%s)", numbers()))
        attempt(lambda: c.cursor().executemany("insert into nothing values (%s)", [(1,), (2,)]))
        attempt(lambda: list(c.cursor().stream("selec 1")))
        rows = c.cursor().stream("select generate_series(1, 100)")
        next(rows)
        attempt(lambda: rows.throw(KeyError("thrown in")))
        attempt(lambda: copying("copy nothing from stdin", print))
        attempt(lambda: copying("copy t from stdin", lambda copy: copy.write(b"x\\n")))
        attempt(lambda: copying("copy t from stdin", lambda copy: 1 / 0))
        attempt(lambda: copying("select 1", print))
        def twice():
            with c.transaction():
                c.execute("insert into t values (1)"); c.execute("insert into t values (1)")
        attempt(twice)
        c.autocommit = False
        def named():
            with c.cursor("named") as cursor: cursor.execute("selec 1")
        attempt(named); c.rollback()
        def pipelined():
            with c.pipeline(): c.execute("selec 1")
        attempt(pipelined); c.rollback()
        c.execute("create temp table late (a int primary key deferrable initially deferred)")
        c.execute("insert into late values (1), (1)")
        attempt(c.commit)
        c.close()
        attempt(lambda: c.execute("select 1"))
        attempt(c.commit)
        attempt(lambda: psycopg.connect("host=127.0.0.1 port=1 password=secret"))
        attempt(lambda: psycopg.connect("nonsense"))
        attempt(lambda: psycopg.connect(7))
        attempt(lambda: psycopg.connect("host=127.0.0.1", port="none"))
        attempt(lambda: psycopg.connect("host=127.0.0.1,127.0.0.1 port=1,2"))
        c = psycopg.connect(DSN)
        attempt(lambda: c.execute("select pg_terminate_backend(pg_backend_pid())"))
    """,
    "asynchronous ones": """
        import traceback
        async def attempt(work):
            try: await work
            except BaseException: traceback.print_exc()
        async def rows(c, statement, upto=10**9):
            async for n, in c.cursor().stream(statement):
                if n >= upto: break
        async def limited(seconds, work):
            async with asyncio.timeout(seconds): await work
        async def copying(c, statement, act):
            async with c.cursor().copy(statement) as copy: await act(copy)
        async def fail(copy): 1 / 0
        async def main():
            c = await psycopg.AsyncConnection.connect(DSN, autocommit=True)
            await attempt(c.execute("selec 1"))
            await attempt(c.cursor().executemany("insert into nothing values (%s)", [(1,)]))
            await attempt(rows(c, "selec 1"))
            await attempt(rows(c, "select generate_series(1, 1000)", 5))
            stream = c.cursor().stream("select generate_series(1, 1000)")
            print(type(stream), stream.__qualname__, await anext(stream), await stream.asend(None))
            await attempt(stream.athrow(KeyError("thrown in")))
            stream = c.cursor().stream("select generate_series(1, 1000)")
            await anext(stream); await stream.aclose()
            await attempt(copying(c, "copy nothing from stdin", fail))
            await attempt(copying(c, "copy (select 1) to stdout", fail))
            async def show(copy): print([bytes(data) async for data in copy])
            await copying(c, "copy (select generate_series(1, 3)) to stdout", show)
            await attempt(limited(0.05, c.execute("select pg_sleep(20)")))
            await attempt(limited(0.05, rows(c, "select generate_series(1, 2), pg_sleep(20)")))
            await attempt(psycopg.AsyncConnection.connect("host=127.0.0.1 port=1"))
            task = asyncio.create_task(c.execute("select pg_sleep(20)")); await asyncio.sleep(0.05); task.cancel()
            try: await task
            except asyncio.CancelledError as e: print(type(e), task.cancelled())
            print(await (await c.execute("select 1")).fetchone())
            await c.close()
            await attempt(c.execute("select 1"))
            global left
            c = await psycopg.AsyncConnection.connect(DSN)
            left = c.cursor().stream("select generate_series(1, 1000)"), c
            await anext(left[0])
        asyncio.run(main())
        print("over")
    """,
    "kinds of its own": """
        class Cur(psycopg.Cursor):
            def execute(self, query, params=None, **kw):
                print("mine", query, params)
                return super().execute(query, params, **kw)
        class Con(psycopg.Connection):
            @classmethod
            def connect(cls, *args, **kwargs):
                print("mine"); return super().connect(*args, **kwargs)
            def __eq__(self, other): raise SystemExit("asked")
            __hash__ = None
        class Text(str):
            def __hash__(self): raise SystemExit("asked")
            def __str__(self): raise SystemExit("asked")
        class Given(dict):
            def __bool__(self): raise SystemExit("asked")
        c = Con.connect(DSN, cursor_factory=Cur)
        print(type(c), c.execute("select %s::int", [1]).fetchone(), c.cursor().execute("select 2").fetchall())
        print(c.execute("select %(a)s::int", Given(a=5)).fetchone())
        for kind in (psycopg.ClientCursor, psycopg.RawCursor):
            print(kind(c).execute("select $1::int" if "Raw" in kind.__name__ else "select %s::int", [3]).fetchone())
        print(psycopg.Cursor(c).execute("select 'x'; select 'y'").fetchall())
        print(psycopg.Cursor(c).execute(sql.SQL("select {}").format(sql.Literal("z"))).fetchall())
        class Odd(sql.Composable):
            def as_bytes(self, context=None): print("asked once"); return b"select 4"
        print(psycopg.Cursor(c).execute(Odd(None)).fetchall())
        print(psycopg.Cursor(c).execute("select '" + "x" * 3_000_000 + "'").fetchone()[0].count("x"))
        with c.cursor("named", row_factory=psycopg.rows.dict_row) as named:
            named.itersize = 2
            named.execute("select generate_series(1, 5) as n")
            print(named.fetchone(), named.fetchmany(2), list(named))
        with psycopg.Cursor(c).copy("copy (select 1) to stdout") as copy: print(copy.read())
        with c.pipeline() as p:
            a = psycopg.Cursor(c).execute("select 1"); b = psycopg.Cursor(c).execute("select 2")
            print(a.fetchone(), b.fetchone())
    """,
    "nothing is held": """
        import gc, weakref
        c = psycopg.connect(DSN, autocommit=True)
        text, values = "select %s" + " " * 1000, [1]
        for _ in range(50):
            c.execute(text, values).fetchall()
            try: c.execute("selec" + text, values)
            except psycopg.Error: pass
            list(c.cursor().stream(text, values))
        print(sys.getrefcount(text), sys.getrefcount(values))
        cursor = c.cursor(); cursor.execute(text, values)
        gone = weakref.ref(cursor), weakref.ref(c)
        del cursor
        print(gone[0]())
        c.close(); del c
        print(gone[1]())
    """,
}


@pytest.mark.parametrize("name", SAME)
def test_a_program_sees_no_difference(runner: Runner, postgres: str, name: str):
    ran = runner.same(BEGIN + TRACED + textwrap.dedent(SAME[name]), DSN=postgres)
    assert all(span.ended for span in ran.recorded.of(CLIENT))
    assert "secret" not in repr([span.attributes for span in ran.recorded.spans])


def statements(found: Recorded, *names: str) -> list[tuple[Any, ...]]:
    """(name, text, further attributes) of each CLIENT span, but for psycopg's tidying after a ROLLBACK."""
    return [
        (s.name, s.attributes.get("db.query.text"), *[s.attributes.get(n) for n in names])
        for s in found.of(CLIENT)
        if s.name != "DEALLOCATE"
    ]


def test_each_statement_is_one_span(runner: Runner, postgres: str):
    ran = runner.good(
        BEGIN
        + """
from aftertrace import _native
quiet = psycopg.connect(DSN); quiet.execute("select 'outside a trace'"); quiet.close()
outer = _native.Span("all"); token = _native.attach(outer)
with psycopg.connect(DSN) as connection:
    connection.execute("create temp table orders (id int primary key, name text)")
    cursor = connection.cursor()
    cursor.execute("insert into orders values (%s, %s)", (1, "secret-one"))
    cursor.executemany("insert into orders values (%s, %s)", [(2, "secret-two"), (3, "secret-three")])
    cursor.execute("insert into orders values (4, 'secret-four') -- secret comment")
    cursor.execute(b"select id from orders where id = %(key)s", {"key": 1})
    assert cursor.fetchall() == [(1,)]
    query = sql.SQL("select {} from {} where id = {} and name <> {}").format(
        sql.Identifier("id"), sql.Identifier("orders"), sql.Literal(2), sql.Placeholder())
    assert connection.execute(query, ["secret"]).fetchone() == (2,)
    connection.commit()
    connection.commit()
    try: cursor.execute("insert into orders values (1, 'secret')")
    except psycopg.errors.UniqueViolation: pass
    connection.rollback()
    with connection.transaction():
        with connection.transaction("inner"):
            cursor.execute("update orders set name = %s", ["x"])
assert _native.current() is outer
_native.detach(token)
""",
        DSN=postgres,
    )
    found = ran.recorded
    assert statements(found, "db.operation.name", "db.operation.batch.size") == [
        ("connect", None, None, None),
        ("CREATE TABLE orders", "create temp table orders (id int primary key, name text)", "CREATE", None),
        ("INSERT orders", "insert into orders values (%s, %s)", "INSERT", None),
        ("INSERT orders", "insert into orders values (%s, %s)", "BATCH INSERT", 2),
        ("INSERT orders", "insert into orders values (?, ?)", "INSERT", None),
        ("SELECT orders", "select id from orders where id = %(key)s", "SELECT", None),
        ("SELECT orders", 'select "id" from "orders" where id = ? and name <> %s', "SELECT", None),
        ("COMMIT", "COMMIT", "COMMIT", None),
        ("INSERT orders", "insert into orders values (?, ?)", "INSERT", None),
        ("ROLLBACK", "ROLLBACK", "ROLLBACK", None),
        ("BEGIN", "BEGIN", "BEGIN", None),
        ("SAVEPOINT", 'SAVEPOINT "inner"', "SAVEPOINT", None),
        ("UPDATE orders", "update orders set name = %s", "UPDATE", None),
        ("RELEASE", 'RELEASE "inner"', "RELEASE", None),
        ("COMMIT", "COMMIT", "COMMIT", None),
    ]
    spans = found.of(CLIENT)
    where = urlsplit(postgres)
    for span in spans:
        assert span.ended
        assert span.parent == found.named("all")[0].id
        told = span.attributes
        assert told["db.system.name"], told["server.address"] == ("postgresql", "127.0.0.1")
        assert (told["server.port"], told["db.namespace"]) == (where.port, "postgres")
    failed = [span for span in spans if span.status]
    assert [span.name for span in failed] == ["INSERT orders"]
    assert failed[0].status == 2
    assert failed[0].attributes["error.type"] == "UniqueViolation"
    assert failed[0].attributes["db.response.status_code"] == "23505"
    assert [name for name, _ in failed[0].events] == ["exception"]
    everything = repr([(span.name, span.attributes) for span in found.spans])
    assert "secret" not in everything
    assert "not-to-be-told" not in everything


def test_streams_copies_cursors_pipelines_and_cancellation(runner: Runner, postgres: str):
    ran = runner.good(
        BEGIN
        + """
from aftertrace import _native
def under(name): return _native.attach(_native.Span(name, 1, None))
under("all")
c = psycopg.connect(DSN, autocommit=True)
c.execute("create temp table t (a int)")
current = _native.current()
for n, in c.cursor().stream("select generate_series(1, %s) as streamed", [3]): assert _native.current() is current
with c.cursor().copy("copy t from stdin") as copy:
    assert _native.current() is current
    for n in range(3): copy.write_row([n])
try:
    with c.cursor().copy("copy t from stdin") as copy: copy.write(b"nonsense\\n")
except psycopg.DataError: pass
with c.transaction(), c.cursor("named") as named:
    named.execute("select a from t order by a"); named.itersize = 2
    assert [n for n, in named] == [0, 1, 2]
with c.pipeline():
    c.execute("select 1"); c.execute("select 2")
c.close()
async def main():
    c = await psycopg.AsyncConnection.connect(DSN, autocommit=True)
    await c.execute("create temp table t (a int)")
    under("async")
    async def sleep(n):
        under(f"task {n}")
        try: await asyncio.wait_for(c.execute("select pg_sleep(%s)", [20]), 0.1)
        except TimeoutError: pass
        assert _native.current().name == f"task {n}"
    await sleep(1)
    task = asyncio.create_task(sleep(2)); await asyncio.sleep(0.05); task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    under("async")
    async for n, in c.cursor().stream("select generate_series(1, 3)"): pass
    async for n, in c.cursor().stream("select generate_series(1, 3)"): break
    async with c.cursor().copy("copy t from stdin") as copy: await copy.write_row([1])
    async with c.transaction(), c.cursor("named") as named:
        await named.execute("select a from t")
        await named.fetchall()
    await c.close()
asyncio.run(main())
""",
        DSN=postgres,
    )
    found = ran.recorded
    assert all(span.ended for span in found.of(CLIENT))
    names = {span.id: span.name for span in found.spans}
    seen = [
        (names[span.parent], span.name, span.status)
        for span in found.of(CLIENT)
        if span.name not in {"connect", "BEGIN", "COMMIT", "ROLLBACK", "DEALLOCATE", "CREATE TABLE t"}
    ]
    assert seen == [
        ("all", "SELECT", 0),
        ("all", "COPY t", 0),
        ("all", "COPY t", 2),
        ("all", "SELECT t", 0),
        ("all", "FETCH named", 0),
        ("all", "FETCH named", 0),
        ("all", "CLOSE", 0),
        ("all", "SELECT", 0),
        ("all", "SELECT", 0),
        ("all", "PIPELINE", 0),
        ("task 1", "SELECT", 0),
        ("task 2", "SELECT", 0),
        ("async", "SELECT", 0),
        ("async", "SELECT", 0),
        ("async", "COPY t", 0),
        ("async", "SELECT t", 0),
        ("async", "FETCH named", 0),
        ("async", "CLOSE", 0),
    ]


def test_pools(runner: Runner, postgres: str):
    """Their own connecting is nobody's; who has to wait for a connection sees that."""
    ran = runner.good(
        BEGIN
        + """
import threading, psycopg_pool
from aftertrace import _native
def under(name): return _native.attach(_native.Span(name, 1, None))
under("opens")
pool = psycopg_pool.ConnectionPool(DSN, min_size=1, max_size=1, open=True)
pool.wait()
under("first")
with pool.connection() as c: c.execute("select 1")
with pool.connection() as c:
    def second():
        under("second")
        with pool.connection() as c: c.execute("select 2")
    thread = threading.Thread(target=second); thread.start()
    while not pool.get_stats().get("requests_waiting"): pass
thread.join()
under("late")
try:
    with pool.connection(), pool.connection(timeout=0.01): pass
except psycopg_pool.PoolTimeout: pass
pool.close()
async def main():
    under("opens")
    async with psycopg_pool.AsyncConnectionPool(DSN, min_size=1, max_size=1, open=False) as pool:
        await pool.wait()
        under("async")
        async with pool.connection() as c: await c.execute("select 1"); await c.close()
        async with pool.connection() as c: await c.execute("select 2")
asyncio.run(main())
""",
        DSN=postgres,
    )
    found = ran.recorded
    names = {span.id: span.name for span in found.spans}
    seen = [(names[s.parent], s.name, s.status) for s in found.spans if s.parent in names]
    assert all(span.ended for span in found.spans if span.parent)
    assert [s for s in seen if s[0] != "async"] == [
        ("first", "SELECT", 0),
        ("first", "COMMIT", 0),
        ("second", "wait for a connection", 0),
        ("second", "SELECT", 0),
        ("second", "COMMIT", 0),
        ("late", "wait for a connection", 2),
    ]
    assert [s for s in seen if s[0] == "async"] == [
        ("async", "SELECT", 0),
        ("async", "wait for a connection", 0),
        ("async", "SELECT", 0),
        ("async", "COMMIT", 0),
    ]


def test_no_second_span_where_opentelemetry_has_one_or_wants_none(runner: Runner, postgres: str):
    ran = runner.good(
        BEGIN
        + """
from aftertrace import _native
from opentelemetry import trace
from opentelemetry.instrumentation.psycopg import PsycopgInstrumentor
from opentelemetry.instrumentation.utils import suppress_instrumentation
def under(name): return _native.attach(_native.Span(name, 1, None))
c = psycopg.connect(DSN)
under("suppressed")
with suppress_instrumentation(): c.execute("select 1"); psycopg.connect(DSN).close()
under("told again"); c.execute("select 1")
under("a client's")
with trace.get_tracer("mine").start_as_current_span("by hand", kind=trace.SpanKind.CLIENT): c.execute("select 1")
PsycopgInstrumentor().instrument()
c = psycopg.connect(DSN)
under("contrib")
c.cursor().execute("select 1")
async def main():
    c = await psycopg.AsyncConnection.connect(DSN)
    under("contrib async"); await c.cursor().execute("select 1"); await c.close()
asyncio.run(main())
PsycopgInstrumentor().uninstrument()
c = psycopg.connect(DSN)
under("ours again")
c.execute("select 1")
""",
        DSN=postgres,
    )
    found = ran.recorded
    names = {span.id: span.name for span in found.spans}
    seen = [(names[s.parent], s.name, s.scope) for s in found.of(CLIENT) if s.name != "connect" and s.parent]
    assert [(parent, name.replace("select", "SELECT"), scope.rpartition(".")[0]) for parent, name, scope in seen] == [
        ("told again", "SELECT", "aftertrace"),
        ("a client's", "by hand", ""),
        ("by hand", "SELECT", "aftertrace"),
        ("contrib", "SELECT", "opentelemetry.instrumentation"),
        ("contrib async", "SELECT", "opentelemetry.instrumentation"),
        ("ours again", "SELECT", "aftertrace"),
    ]
