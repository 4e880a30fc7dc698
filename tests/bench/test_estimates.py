"""What may be concluded from ratios, and what may not."""

from __future__ import annotations

import random
import statistics

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aftertrace.cli.bench.estimates import Added, Estimate, added, chance_of, estimate, percentile, verdict

ratios = st.floats(0.1, 10)


def noisy(true: float, spread: float, count: int, seed: int) -> list[float]:
    chance = random.Random(seed)
    return [true * chance.lognormvariate(0, spread) for _ in range(count)]


@settings(max_examples=20)  # each is a thousand resamples
@given(st.lists(st.lists(ratios, min_size=1, max_size=20), min_size=1, max_size=3))
def test_the_interval_holds_the_estimate(groups: list[list[float]]) -> None:
    found = estimate(groups)
    assert found.low <= found.value <= found.high
    assert min(map(min, groups)) * (1 - 1e-12) <= found.low
    assert found.high <= max(map(max, groups)) * (1 + 1e-12)


@pytest.mark.parametrize("true", [1.0, 1.02, 1.5, 4.0])
def test_the_interval_holds_the_truth_nearly_always(true: float) -> None:
    hits = sum((found := estimate([noisy(true, 0.05, 40, seed)])).low <= true <= found.high for seed in range(30))
    assert hits >= 25  # 28 of 30 on average


def test_a_wild_slice_changes_little() -> None:
    calm = [1.02] * 30
    assert estimate([[*calm, 9.0, 0.1, 20.0]]).value == pytest.approx(1.02)


def test_processes_that_differ_widen_the_interval() -> None:
    alike = estimate([[1.0] * 10, [1.0] * 10])
    apart = estimate([[0.95] * 10, [1.05] * 10])
    assert alike.high - alike.low == 0
    assert (apart.low, apart.value, apart.high) == pytest.approx((0.95, 1.0, 1.05))


def test_two_steps_multiply_and_their_errors_add_up() -> None:
    both = Estimate(1.1, 1.05, 1.15).times(Estimate(2.0, 1.8, 2.2))
    assert both.value == pytest.approx(2.2)
    assert 2.2 - both.low > 0.2
    assert both.high - 2.2 > 0.2
    assert both.low > 1.1 * 1.8 * 0.9


@pytest.mark.parametrize(
    ("effect", "noise", "said"),
    [
        (Estimate(1.18, 1.15, 1.21), 0.02, "+18%"),
        (Estimate(1.021, 1.015, 1.027), 0.01, "+2.1%"),
        (Estimate(0.93, 0.92, 0.94), 0.01, "-7.0%"),
        (Estimate(1.021, 1.015, 1.027), 0.03, "cannot tell (noise 3.0%)"),
        (Estimate(1.18, 0.99, 1.31), 0.02, "cannot tell (noise 2.0%)"),
    ],
)
def test_no_conclusion_where_equal_programs_differ_by_more(effect: Estimate, noise: float, said: str) -> None:
    assert verdict(effect, noise) == said


def test_the_noise_is_the_control_s_far_end() -> None:
    assert Estimate(1.001, 0.97, 1.02).noise() == pytest.approx(0.03)


def test_nothing_measured_is_no_estimate() -> None:
    with pytest.raises(ValueError, match="nothing"):
        estimate([[], []])


@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=300), st.sampled_from([0.5, 0.9, 0.99]))
def test_a_percentile_has_its_share_below_it(values: list[int], share: float) -> None:
    found = percentile(values, share)
    assert found in values
    assert sum(one < found for one in values) <= share * len(values)
    assert sum(one <= found for one in values) >= share * len(values)


def test_latencies_are_compared_round_by_round() -> None:
    bare, mine = [[100, 100], [900, 900], []], [[150, 150], [950, 950], [5]]
    assert added(mine, bare, 0.5) == [50, 50]
    assert chance_of([10.0, -10.0, 12.0, -8.0]) >= 8
    assert Added(50.0, 12.0).told
    assert not Added(-11.0, 12.0).told
    assert statistics.median(added(mine, bare, 0.99)) == 50
