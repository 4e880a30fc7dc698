"""sqlite3: what a program can see is as it is bare; in a trace, each statement is a span."""

from __future__ import annotations

import pytest

from .conftest import CLIENT, Runner

SAME = {
    "types, names, signatures": """
        import inspect, pickle, copy, sqlite3, weakref
        from sqlite3 import dbapi2
        def signature(f):
            try: return str(inspect.signature(f))
            except ValueError as e: return str(e)
        connection = sqlite3.connect(":memory:")
        cursor = connection.cursor()
        def show(x): return repr(x).partition(" at ")[0]
        for x in connection, cursor:
            kind = type(x)
            print(show(x), kind, kind.__name__, kind.__qualname__, kind.__module__, kind.__doc__, kind.__dictoffset__)
            print(isinstance(x, (sqlite3.Connection, sqlite3.Cursor)))
            for protocol in range(6):
                for act in (lambda: pickle.dumps(x, protocol), lambda: copy.copy(x), lambda: copy.deepcopy(x)):
                    try: act()
                    except TypeError as e: print(e)
            for name in "__dict__", "nothing":
                print(hasattr(x, name))
            try: x.nothing = 1
            except AttributeError: print("no attributes of one's own")
        weakref.ref(cursor)
        try: weakref.ref(connection)
        except TypeError as e: print("no weak references to connections")
        print(sqlite3.connect, sqlite3.connect.__name__, sqlite3.connect.__doc__, sqlite3.connect.__module__)
        print(sqlite3.connect is dbapi2.connect, pickle.loads(pickle.dumps(sqlite3.connect)) is sqlite3.connect)
        print(callable(sqlite3.connect), sqlite3.connect.__text_signature__)
        print(signature(sqlite3.connect), signature(cursor.execute))
        class Holder:
            connect = sqlite3.connect
        print(show(Holder().connect(":memory:")))
        print(cursor.connection is connection, cursor.execute("select 1") is cursor, cursor.fetchall())
    """,
    "its own factories": """
        import sqlite3, warnings
        warnings.simplefilter("ignore")  # sqlite.py says why
        class Mine(sqlite3.Connection):
            def __init__(self, *args, **kwargs):
                print(args, kwargs); super().__init__(*args, **kwargs)
            def cursor(self): return super().cursor(Cur)
        class Cur(sqlite3.Cursor):
            def execute(self, *args): print("mine", args); return super().execute(*args)
        for c in (sqlite3.connect(":memory:", factory=Mine), sqlite3.connect(database=":memory:", factory=Mine),
                  sqlite3.connect(":memory:", 1.0, 0, None, True, Mine), sqlite3.Connection(":memory:"),
                  sqlite3.connect(":memory:", factory=sqlite3.Connection)):
            print(type(c), type(c.cursor()), c.execute("select 1").fetchone())
        c = sqlite3.connect(":memory:")
        print(type(c.cursor(Cur)), type(c.cursor(factory=Cur)), c.cursor(Cur).execute("select 2").fetchone())
        for bad in (None, 1, "x"):
            try: c.cursor(bad)
            except Exception as e: print(type(e), e)
        connect = sqlite3.connect
        for call in (lambda: c.cursor(1, 2), lambda: c.cursor(nothing=1), lambda: connect(), lambda: c.execute(),
                     lambda: c.cursor().execute(1), lambda: c.execute(sql=""), lambda: connect(":memory:", timeout=""),
                     lambda: connect("/nowhere/x.db"), lambda: connect(":memory:", factory=3),
                     lambda: connect(":memory:", 1, timeout=2), lambda: connect(1, 2, 3, 4, 5, 6, 7, 8, 9, 10)):
            try: call()
            except Exception as e: print(type(e), e)
    """,
    "what it does": """
        import sqlite3
        c = sqlite3.connect("file:x?mode=memory&cache=shared", uri=True, isolation_level=None)
        print(c.isolation_level, c.autocommit)
        d = sqlite3.connect(":memory:", autocommit=False)
        print(d.autocommit, d.in_transaction)
        c.row_factory = sqlite3.Row
        c.executescript("create table t (a, b); insert into t values (1, 'x');")
        print(tuple(c.execute("select * from t").fetchone()), c.cursor().row_factory)
        def rows():
            for n in range(3):
                print("made", n); yield n, str(n)
        print(c.executemany("insert into t values (?, ?)", rows()).rowcount)
        c.row_factory = None
        with c: c.execute("insert into t values (:a, :b)", {"a": 7, "b": None})
        try:
            with c:
                c.execute("begin"); c.execute("delete from t"); 1 / 0
        except ZeroDivisionError: print(c.execute("select count(*) from t").fetchone())
        print(list(c.iterdump()))
        other = sqlite3.connect(":memory:"); c.backup(other)
        print(list(other.execute("select * from t")), other.total_changes)
        c.create_function("f", 1, lambda x: x * 2)
        print(c.execute("select f(4)").fetchone(), c.execute("pragma user_version").fetchall())
        seen = []; c.set_trace_callback(seen.append); c.execute("select 3 -- three"); c.set_trace_callback(None)
        print(seen)
        print(type(c("select 1")))
    """,
    "errors with their tracebacks": """
        import sqlite3, threading, traceback
        def attempt(act):
            try: act()
            except Exception: traceback.print_exc()
        c = sqlite3.connect(":memory:")
        attempt(lambda: c.execute("selec 1"))
        attempt(lambda: c.cursor().execute("select ?", (1, 2)))
        attempt(lambda: c.executemany("insert into nothing values (?)", [(1,)]))
        attempt(lambda: c.executescript("select 1; nonsense"))
        attempt(lambda: c.execute("select ?", (object(),)))
        def boom(x): raise KeyError(x)
        c.create_function("boom", 1, boom)
        attempt(lambda: c.execute("select boom(1)"))
        def generate():
            yield (1,)
            raise LookupError("from the generator")
        c.execute("create table t (a)")
        attempt(lambda: c.executemany("insert into t values (?)", generate()))
        def elsewhere():
            for act in (lambda: c.execute("select 1"), lambda: c.cursor(), lambda: c.close()):
                try: act()
                except sqlite3.ProgrammingError as e: print(str(e).partition("created in thread id")[0])
        thread = threading.Thread(target=elsewhere); thread.start(); thread.join()
        c.close()
        attempt(lambda: c.execute("select 1"))
        attempt(lambda: c.cursor())
        attempt(lambda: sqlite3.connect("/nowhere/x.db"))
    """,
    "a default adapter's warning names the line that caused it": """
        import sqlite3, datetime
        c = sqlite3.connect(":memory:")
        c.execute("select ?", (datetime.date(2026, 1, 2),))
        c.cursor().executemany("select ?", [(datetime.date(2026, 1, 2),)]) if False else None
        c.cursor().execute("select ?", (datetime.datetime(2026, 1, 2),))
    """,
    "positional arguments are warned about where they are given": """
        import sqlite3, warnings
        sqlite3.connect(":memory:", 3.0).close()
        warnings.simplefilter("always")
        sqlite3.connect(":memory:", 3.0, 0, None).close()
        warnings.simplefilter("error")
        sqlite3.connect(":memory:", 4.0)
    """,
}


@pytest.mark.parametrize("inside", [False, True], ids=["outside a trace", "in a trace"])
@pytest.mark.parametrize("name", SAME)
def test_a_program_sees_no_difference(runner: Runner, name: str, inside: bool):
    program = SAME[name]
    if inside:
        program = TRACED + program
    runner.same(program)


TRACED = """
        import sys
        if "aftertrace._native" in sys.modules:
            from aftertrace import _native as _n
            _n.attach(_n.Span("all"))
"""


def test_each_statement_in_a_trace_is_one_span(runner: Runner):
    program = """
        import sqlite3
        from aftertrace import _native
        c = sqlite3.connect(":memory:")
        c.execute("create table quiet (a)")
        with_span = _native.Span("all"); token = _native.attach(with_span)
        cursor = c.cursor()
        c.execute("create table t (a)")
        cursor.execute("insert into t values (1)")
        c.executemany("insert into t values (?)", [(1,), (2,)])
        cursor.executemany("update t set a = ?", [(1,), (2,)])
        c.executescript("select 1; select 2")
        cursor.executescript("select 3")
        cursor.execute("  -- a comment\\nselect 1")
        try: c.execute("selec 1")
        except sqlite3.OperationalError: pass
        assert _native.current() is with_span
        _native.detach(token)
    """
    found = runner.good(program).recorded
    spans = found.of(CLIENT, db__system__name="sqlite")
    assert [(s.name, s.attributes["db.query.text"], s.status, s.ended) for s in spans] == [
        ("CREATE TABLE t", "create table t (a)", 0, True),
        ("INSERT t", "insert into t values (?)", 0, True),
        ("INSERT t", "insert into t values (?)", 0, True),
        ("UPDATE t", "update t set a = ?", 0, True),
        ("SELECT", "select ?; select ?", 0, True),
        ("SELECT", "select ?", 0, True),
        ("SELECT", "select ?", 0, True),
        ("SELEC", "selec ?", 2, True),
    ]
    assert [s.attributes.get("db.operation.batch.size") for s in spans[2:4]] == [2, 2]
    assert {span.parent for span in spans} == {found.named("all")[0].id}
    assert spans[-1].attributes["error.type"] == "OperationalError"
    assert [name for name, _ in spans[-1].events] == ["exception"]


def test_nothing_of_the_program_is_held(runner: Runner):
    runner.same(
        TRACED
        + """
        import sqlite3, sys, weakref
        c = sqlite3.connect(":memory:")
        sql, values = "select ?" + " " * 1000, [1.5]
        for _ in range(100):
            c.execute(sql, values).fetchall()
            try: c.execute("selec" + sql)
            except sqlite3.Error: pass
        print(sys.getrefcount(sql), sys.getrefcount(values), sys.getrefcount(c))
        cursor = c.cursor()
        gone = weakref.ref(cursor)
        del cursor
        print(gone())
    """
    )
