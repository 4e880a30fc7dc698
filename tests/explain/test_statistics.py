"""Fisher's exact test and the correction for many comparisons, against published and independently computed values."""

from __future__ import annotations

from fractions import Fraction
from itertools import combinations
from math import comb

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aftertrace.explain.compared.statistics import adjusted, fisher

COUNTS = st.integers(0, 9)
PS = st.lists(st.floats(0, 1), max_size=30)


@pytest.mark.parametrize(
    ("table", "p"),
    [
        ((3, 1, 1, 3), 0.4857142857142857),  # the lady and the tea (Fisher 1935): 34 / 70
        ((4, 0, 0, 4), 0.02857142857142857),  # all cups right: 2 / 70
        ((1, 9, 11, 3), 0.0027594561852200836),  # R: fisher.test(matrix(c(1,9,11,3),2))
        ((8, 2, 1, 5), 0.034965034965034965),  # scipy.stats.fisher_exact, its own documentation
        ((1, 0, 0, 24), 1 / 25),
        ((0, 1, 24, 0), 1 / 25),
        ((5, 0, 0, 24), 1 / comb(29, 5)),
        ((0, 0, 0, 0), 1.0),
        ((3, 0, 5, 0), 1.0),
    ],
)
def test_known_values(table: tuple[int, int, int, int], p: float) -> None:
    assert fisher(*table) == pytest.approx(p, rel=1e-12)


def by_hand(a: int, b: int, c: int, d: int) -> Fraction:
    """Every way of dealing out the facts among the requests, counted one by one."""
    total, failing, having = a + b + c + d, a + b, a + c
    outcomes = [sum(one < failing for one in chosen) for chosen in combinations(range(total), having)]
    counts = {k: outcomes.count(k) for k in set(outcomes)}
    return Fraction(sum(count for count in counts.values() if count <= counts[a]), len(outcomes))


@given(*[st.integers(0, 3)] * 4)
def test_against_counting(a: int, b: int, c: int, d: int) -> None:
    assert fisher(a, b, c, d) == pytest.approx(float(by_hand(a, b, c, d)), rel=1e-12)


@given(COUNTS, COUNTS, COUNTS, COUNTS)
def test_symmetries(a: int, b: int, c: int, d: int) -> None:
    p = fisher(a, b, c, d)
    assert 0 < p <= 1
    assert p == pytest.approx(fisher(c, d, a, b))
    assert p == pytest.approx(fisher(b, a, d, c))
    assert p == pytest.approx(fisher(a, c, b, d))


@given(st.integers(2, 200))
def test_one_failing_request_says_no_more_than_this(healthy: int) -> None:
    assert fisher(1, 0, 0, healthy) == pytest.approx(1 / (healthy + 1))


def test_negative_counts() -> None:
    with pytest.raises(ValueError, match="not negative"):
        fisher(1, -1, 0, 0)


def test_large_counts_are_exact() -> None:
    assert fisher(400, 0, 0, 400) == pytest.approx(2 / comb(800, 400), rel=1e-9)


# Benjamini and Hochberg (1995), the 15 p of their example; q as R's p.adjust(p, "BH") has them
P = [0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.3240, 0.4262, 0.5719, 0.6528, 0.7590, 1]
Q = [0.0015, 0.0030, 0.0095, 0.035625, 0.0603, 0.06385714, 0.06385714, 0.0645, 0.0765, 0.486, 0.58118182, 0.714875,
     0.75323077, 0.81321429, 1.0]  # fmt: skip


def test_published_example() -> None:
    assert adjusted(P) == pytest.approx(Q, rel=1e-6)
    assert sum(q <= 0.05 for q in adjusted(P)) == 4  # rejected at 5 %, as they say


def test_comparisons_that_are_not_shown_count() -> None:
    assert adjusted([0.01], 100) == [1.0]
    assert adjusted([0.001, 0.01], 20) == pytest.approx([0.02, 0.1])
    assert adjusted([], 5) == []


@given(PS)
def test_q_is_never_below_p(values: list[float]) -> None:
    found = adjusted(values)
    assert all(p <= q + 1e-12 and 0 <= q <= 1 for p, q in zip(values, found, strict=True))


@given(PS)
def test_order_is_kept(values: list[float]) -> None:
    pairs = sorted(zip(values, adjusted(values), strict=True))
    assert [q for _, q in pairs] == sorted(q for _, q in pairs)


@given(PS, st.integers(0, 100))
def test_more_comparisons_are_never_better(values: list[float], more: int) -> None:
    assert all(a <= b + 1e-12 for a, b in zip(adjusted(values), adjusted(values, len(values) + more), strict=True))
