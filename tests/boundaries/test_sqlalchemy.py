"""SQLAlchemy over several drivers: each statement is one span, whoever makes it; what a program can see is as bare."""

from __future__ import annotations

import textwrap

import pytest

from .conftest import CLIENT, Runner

BEGIN = """
import asyncio, os, sys, sqlite3
import sqlalchemy as sa
from sqlalchemy import orm
from sqlalchemy.ext import asyncio as later
DSN = os.environ["DSN"]
class Base(orm.DeclarativeBase): pass
class Order(Base):
    __tablename__ = "orders_of_orm"
    id: orm.Mapped[int] = orm.mapped_column(primary_key=True)
    name: orm.Mapped[str] = orm.mapped_column(unique=True)
    lines: orm.Mapped[list["Line"]] = orm.relationship(back_populates="order")
class Line(Base):
    __tablename__ = "lines_of_orm"
    id: orm.Mapped[int] = orm.mapped_column(primary_key=True)
    order_id: orm.Mapped[int] = orm.mapped_column(sa.ForeignKey("orders_of_orm.id"))
    order: orm.Mapped[Order] = orm.relationship(back_populates="lines")
def engines():
    yield "sqlite", sa.create_engine("sqlite://")
    yield "sqlite factory", sa.create_engine("sqlite://", connect_args={"factory": sqlite3.Connection})
    yield "psycopg", sa.create_engine(DSN.replace("postgresql:", "postgresql+psycopg:"))
def engines_later():
    yield "aiosqlite", later.create_async_engine("sqlite+aiosqlite://")
    yield "psycopg async", later.create_async_engine(DSN.replace("postgresql:", "postgresql+psycopg:"))
    yield "asyncpg", later.create_async_engine(DSN.replace("postgresql:", "postgresql+asyncpg:"))
"""
TRACED = """
if "aftertrace._native" in sys.modules:
    from aftertrace import _native as _n
    _n.attach(_n.Span("all"))
"""
WORK = """
def work(session):
    session.add_all([Order(name="secret-one", lines=[Line(), Line()]), Order(name="secret-two")])
    session.commit()
    for order in session.scalars(sa.select(Order).where(Order.name.like("secret%")).order_by(Order.id)):
        print(order.name, len(order.lines))
    print(session.execute(sa.text("select 'secret'")).all())
    session.execute(sa.update(Order).values(name=Order.name + "x"))
    session.execute(sa.insert(Line), [{"order_id": 1}, {"order_id": 2}])
    try:
        session.add(Order(name="secret-onex")); session.flush()
    except sa.exc.IntegrityError: pass
    session.rollback()
def prepare(connection): Base.metadata.drop_all(connection); Base.metadata.create_all(connection)
"""

SPANS = """
from aftertrace import _native
def under(name): return _native.attach(_native.Span(name, 1, None))
for name, engine in engines():
    with engine.begin() as connection: prepare(connection)
    under(name)
    with orm.Session(engine) as session: work(session)
    engine.dispose()
    _native.attach(None)
async def main(name, engine):
    async with engine.begin() as connection: await connection.run_sync(prepare)
    under(name)
    async with later.AsyncSession(engine) as session: await session.run_sync(work)
    await engine.dispose()
    assert _native.current().name == name
for pair in engines_later(): asyncio.run(main(*pair))
"""


def test_each_statement_is_one_span_whatever_the_driver(runner: Runner, postgres: str):
    found = runner.good(BEGIN + WORK + SPANS, DSN=postgres).recorded
    names = {span.id: span.name for span in found.spans}
    spans = [span for span in found.of(CLIENT) if span.parent]
    assert all(span.ended for span in spans)
    assert "secret" not in repr([span.attributes for span in spans])
    assert {(names[span.parent], span.scope.removeprefix("aftertrace.")) for span in spans} == {
        ("sqlite", "sqlite3"),
        ("sqlite factory", "sqlalchemy"),
        ("psycopg", "psycopg"),
        ("aiosqlite", "sqlalchemy"),
        ("psycopg async", "psycopg"),
        ("asyncpg", "asyncpg"),
    }
    work = [
        ("SELECT orders_of_orm", 0),
        ("SELECT lines_of_orm", 0),
        ("SELECT lines_of_orm", 0),
        ("SELECT", 0),
        ("UPDATE orders_of_orm", 0),
        ("INSERT lines_of_orm", 0),
        ("INSERT orders_of_orm", 2),
    ]
    auxiliary = {"BEGIN", "COMMIT", "ROLLBACK", "DEALLOCATE", "connect"}
    for name in ("sqlite", "sqlite factory", "psycopg", "aiosqlite", "psycopg async", "asyncpg"):
        told = [
            (span.name, span.status)
            for span in spans
            if names[span.parent] == name and span.name not in auxiliary and not span.name.startswith("PREPARE")
        ]
        assert told[-7:] == work, name
        assert {operation for operation, _ in told[:-7]} == {"INSERT orders_of_orm", "INSERT lines_of_orm"}
    failed = [span for span in spans if span.status and names[span.parent] != "asyncpg"]
    assert {span.attributes["error.type"] for span in failed} == {"IntegrityError", "UniqueViolation"}
    ours = [s for s in spans if s.scope == "aftertrace.sqlalchemy" and s.attributes.get("db.operation.batch.size")]
    assert {span.attributes["db.operation.name"] for span in ours} == {"BATCH INSERT"}


def test_a_program_sees_no_difference(runner: Runner, postgres: str):
    program = """
import gc, inspect, pickle, traceback, warnings, weakref
from sqlalchemy.engine import base
warnings.simplefilter("always")
for f in (base.Connection._exec_single_context, base.Connection._exec_insertmany_context, sa.util.queue.Queue.get):
    print(f.__name__, f.__qualname__, f.__module__, inspect.signature(f), pickle.loads(pickle.dumps(f)) is f)
def attempt(act):
    try: return act()
    except Exception as e: traceback.print_exc()
def failing(connection):
    attempt(lambda: connection.execute(sa.text("selec 1")))
    attempt(lambda: connection.rollback())
    attempt(lambda: connection.exec_driver_sql("select 1 where 1 = ?", (1, 2, 3)))
    attempt(lambda: connection.rollback())
    attempt(lambda: connection.execute(sa.insert(Order), [{"name": "a"}, {"name": "a"}]))
    attempt(lambda: connection.rollback())
    attempt(lambda: connection.execute(sa.select(sa.text("nothing")).select_from(Order)))
for name, engine in list(engines())[:2]:
    @sa.event.listens_for(engine, "before_cursor_execute", retval=True)
    def before(conn, cursor, statement, parameters, context, many):
        print(type(cursor), statement, many); return statement + " -- seen", parameters
    with engine.connect() as connection: prepare(connection); failing(connection)
    with orm.Session(engine) as session: work(session)
    gone = weakref.ref(engine)
    engine.dispose()
small = dict(pool_size=1, max_overflow=0, pool_timeout=0.05)
small = sa.create_engine("sqlite:///:memory:", poolclass=sa.pool.QueuePool, **small)
with small.connect(): attempt(small.connect)
small.dispose()
try: sa.create_engine("sqlite:////nowhere/x.db").connect()
except sa.exc.OperationalError: traceback.print_exc()
async def main():
    engine = later.create_async_engine("sqlite+aiosqlite://")
    async with engine.connect() as connection:
        await connection.run_sync(prepare); await connection.run_sync(failing)
    await engine.dispose()
asyncio.run(main())
"""
    ran = runner.same(BEGIN + TRACED + WORK + textwrap.dedent(program), DSN=postgres)
    assert all(span.ended for span in ran.recorded.of(CLIENT))


def test_waiting_for_a_connection_is_a_span(runner: Runner, postgres: str):
    ran = runner.good(
        BEGIN
        + """
import threading
from aftertrace import _native
def under(name): return _native.attach(_native.Span(name, 1, None))
small = dict(pool_size=1, max_overflow=0, pool_timeout=0.05)
engine = sa.create_engine(DSN.replace("postgresql:", "postgresql+psycopg:"), **small)
under("first")
with engine.connect() as connection: connection.execute(sa.text("select 1"))
with engine.connect() as connection:
    under("second")
    try: engine.connect()
    except sa.exc.TimeoutError: pass
engine.dispose()
async def main():
    engine = later.create_async_engine(DSN.replace("postgresql:", "postgresql+asyncpg:"), pool_size=1, max_overflow=0)
    async def other():
        under("third")
        async with engine.connect(): pass
    under("holds")
    async with engine.connect(): task = asyncio.create_task(other()); await asyncio.sleep(0.05)
    await task
    await engine.dispose()
asyncio.run(main())
""",
        DSN=postgres,
    )
    found = ran.recorded
    names = {span.id: span.name for span in found.spans}
    waits = [(names[s.parent], s.status, s.ended) for s in found.named("wait for a connection")]
    assert waits == [("second", 2, True), ("third", 0, True)]


@pytest.mark.parametrize("driver", ["psycopg", "sqlite factory"])
def test_no_second_span_where_opentelemetry_has_one_or_wants_none(runner: Runner, postgres: str, driver: str):
    ran = runner.good(
        BEGIN
        + f"engine = dict(engines())[{driver!r}]"
        + """
from aftertrace import _native
from opentelemetry.instrumentation.sqlalchemy import SQLAlchemyInstrumentor
from opentelemetry.instrumentation.utils import suppress_instrumentation
def under(name): return _native.attach(_native.Span(name, 1, None))
def work(engine):
    with engine.connect() as connection: connection.execute(sa.text("select 1"))
work(engine)
under("suppressed")
with suppress_instrumentation(): work(engine)
SQLAlchemyInstrumentor().instrument(engine=engine, skip_dep_check=True)
under("contrib"); work(engine)
SQLAlchemyInstrumentor().uninstrument()
under("ours again"); work(engine)
""",
        DSN=postgres,
    )
    names = {span.id: span.name for span in ran.recorded.spans}
    seen = [
        (names[s.parent], s.scope.rpartition(".")[0])
        for s in ran.recorded.of(CLIENT)
        if s.name not in {"connect", "ROLLBACK"}
    ]
    assert seen == [("contrib", "opentelemetry.instrumentation"), ("ours again", "aftertrace")]
