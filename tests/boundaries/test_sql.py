"""What a span tells of a statement: names of low cardinality, no values; whatever the text."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aftertrace.record.boundaries.sql import MOST_TEXT, statement

NAMES = {
    "select * from orders where id = %s": "SELECT orders",
    "  /* who */ -- why\n select 1 from shop.orders o": "SELECT shop.orders",
    'SELECT extract(year FROM day) FROM "Order Items" x': "SELECT Order Items",
    "select (select max(a) from inner1) from outer1": "SELECT outer1",
    "select * from (select * from inner1) q": "SELECT inner1",
    "(select 1 from t) union (select 2 from u)": "SELECT t",
    "select 1": "SELECT",
    "WITH a AS (SELECT * FROM x), b AS (DELETE FROM y RETURNING *) INSERT INTO z SELECT * FROM b": "INSERT z",
    "with recursive a as (select 1) select * from a": "SELECT a",
    "insert or replace into t values (1)": "INSERT t",
    "REPLACE INTO `db`.`t` VALUES (1)": "REPLACE db.t",
    "update only t set a = 5": "UPDATE t",
    "DELETE FROM t WHERE a in (select b from u)": "DELETE t",
    "MERGE INTO t USING u ON a = b": "MERGE t",
    "create temp table if not exists t (a)": "CREATE TABLE t",
    "CREATE UNIQUE INDEX CONCURRENTLY i ON t (a)": "CREATE INDEX i",
    "ALTER TABLE ONLY s.t ADD c int": "ALTER TABLE s.t",
    "DROP TABLE IF EXISTS [my table]": "DROP TABLE my table",
    "truncate table t": "TRUNCATE t",
    "COPY t (a, b) FROM STDIN": "COPY t",
    "call f(1)": "CALL f",
    "begin": "BEGIN",
    "COMMIT;": "COMMIT",
    "EXPLAIN ANALYZE select * from t": "EXPLAIN t",
    'FETCH FORWARD 100 FROM "c"': "FETCH c",
    "": "execute",
    "123": "execute",
    "\ud800": "execute",
}

LITERALS = {
    "select 'a''b', N'x', E'x\\'y', $$d'q$$, $t$ $$ $t$, 12.5e-3, 0xFF": "select ?, N?, ?, ?, ?, ?-?, ?",
    'select a1, $1, :x, :1, ?1, %s, t.c2::int4, "it\'s 1"': 'select a1, $1, :x, :1, ?1, %s, t.c2::int4, "it\'s 1"',
    "select 'open": "select ?",
    "select 1 -- it's\n, 2": "select ?  \n, ?",
    "select 1 /* 'x */ , 'y'": "select ?   , ?",
    "alter user x password 'p'": "alter user x password ?",
    "a = 'x\\' or b = 'y'": "a = ? or b = ?",
}


@pytest.mark.parametrize("text", NAMES)
def test_a_statement_has_a_name(text: str):
    for parameters in (True, False):
        assert statement(text, parameters=parameters).name == NAMES[text]
        assert statement(text, parameters=parameters).name == NAMES[text]  # what is kept of it


@pytest.mark.parametrize("text", LITERALS)
def test_a_statement_without_parameters_loses_its_literals(text: str):
    assert statement(text, parameters=False).text == LITERALS[text]
    assert statement(text, parameters=True).text == text


_PIECES = "select from insert into with as ( ) , . t ` [ ] -- /* */ $$ $a$ E \\"
_WORDS = st.sampled_from([*_PIECES.split(), '"', "'", "\n", " "])


@given(st.lists(st.one_of(_WORDS, st.text(max_size=8)), max_size=40), st.booleans())
@settings(deadline=None, max_examples=200)
def test_any_text_has_a_short_name_and_text(words: list[str], parameters: bool):
    found = statement(" ".join(words), parameters=parameters)
    assert 0 < len(found.name) <= 120
    assert len(found.text) <= MOST_TEXT
    assert found == statement(" ".join(words), parameters=parameters)


@given(st.lists(st.text(alphabet=st.characters(codec="utf-8"), max_size=20), min_size=1, max_size=6))
@settings(deadline=None, max_examples=200)
def test_no_quoted_value_is_left(values: list[str]):
    marked = [f"secret{value}secret" for value in values]
    quoted = ["'" + value.replace("'", "''") + "'" for value in marked]
    text = "select * from t where " + " and ".join(f"c{n} = {value}" for n, value in enumerate(quoted))
    assert "secret" not in statement(text, parameters=False).text
    assert "secret" not in statement(text[: len(text) // 2], parameters=False).text


@pytest.mark.parametrize(
    "piece", ["'", '"', "(", "()", "from ", "a .", "$a$ ", "/*", " ", "create ", "temp ", "1 ", "e'\\", "-"]
)
def test_of_huge_hostile_texts_the_beginning_is_read(piece: str):
    for parameters in (True, False):
        found = statement("select " + piece * (10_000_000 // len(piece)), parameters=parameters)
        assert found.operation == "SELECT"
        assert len(found.text) <= MOST_TEXT
