"""psycopg on a real server: what a program can see is as it is bare; in a trace, each statement is a span."""

from __future__ import annotations

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


def statements(found: Recorded, *names: str) -> list[tuple[Any, ...]]:
    """(name, text, further attributes) of each CLIENT span; psycopg's tidying after a ROLLBACK differs with its version."""
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
