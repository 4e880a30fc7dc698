"""Simple SQL is read, and nothing else: what is not understood is left alone, and nothing crashes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aftertrace.explain.races.statements import Change, Condition, Statement, Term, read

_SKU = (Condition("sku", "=", Term(place=0)),)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("SELECT pieces FROM stock WHERE sku = ?", Statement("SELECT", "stock", _SKU, ("pieces",))),
        ('select a.b, "C" from T where a.sku = %s;', Statement("SELECT", "t", _SKU, ("b", "c"))),
        (
            "UPDATE stock SET pieces = pieces - ?, seen = 'it''s' WHERE sku = ? AND pieces >= 2",
            Statement(
                "UPDATE", "stock",
                (Condition("sku", "=", Term(place=1)), Condition("pieces", ">=", Term(literal=2))),
                changes=(Change("pieces", "-", Term(place=0)), Change("seen", "", Term(literal="it's"))),
            ),
        ),
        (
            "UPDATE t SET n = :new WHERE k = %(key)s",
            Statement(
                "UPDATE", "t", (Condition("k", "=", Term(name="key")),), changes=(Change("n", "", Term(name="new")),)
            ),
        ),
        ("DELETE FROM stock WHERE sku = ?", Statement("DELETE", "stock", _SKU)),
    ],
)  # fmt: skip
def test_read(text: str, expected: Statement) -> None:
    assert read(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "", ";", "COMMIT", "SELECT 1", "SELECT pieces FROM stock", "UPDATE stock SET pieces = 0",
        "SELECT max(pieces) FROM stock WHERE sku = ?", "SELECT a FROM t, u WHERE a = ?",
        "SELECT a FROM t WHERE a = ? OR b = ?", "SELECT a FROM t WHERE NOT a = ?", "SELECT a FROM t WHERE a = b",
        "SELECT a FROM t WHERE a = ? LIMIT 1", "SELECT a FROM t WHERE a IN (?, ?)",
        "SELECT a FROM t JOIN u WHERE a = ?",
        "UPDATE t SET a = b + ? WHERE k = ?", "UPDATE t SET a = a * 2 WHERE k = ?",
        "UPDATE t SET a = a + b WHERE k = ?",
        "SELECT a FROM t WHERE a = ? -- and b = 2", "UPDATE t SET a =", "UPDATE t SET a = a WHERE k = ?",
        "SELECT a FROM t WHERE k = -?", "SELECT DISTINCT a FROM t WHERE k = ?",
    ],
)  # fmt: skip
def test_left_alone(text: str) -> None:
    assert read(text) is None


_WORDS = [
    "SELECT",
    "UPDATE",
    "SET",
    "FROM",
    "WHERE",
    "AND",
    "DELETE",
    "t",
    "a",
    "=",
    "?",
    ",",
    "-",
    "1",
    "'x'",
    ":n",
    "(",
]


@given(st.one_of(st.text(), st.lists(st.sampled_from(_WORDS)).map(" ".join)))
def test_never_crashes(text: str) -> None:
    found = read(text)
    assert found is None or (found.where and found.verb in {"SELECT", "UPDATE", "DELETE"})
