"""Intervals against published values."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.analytics.domain.experiment import Arm, revenue_gaps, uplift, verdict
from services.analytics.domain.intervals import Interval, Sample, difference, mean_difference, wilson


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_the_score_interval_is_the_published_one(successes: int, trials: int, low: float, high: float) -> None:
    """R. G. Newcombe, Two-sided confidence intervals for the single proportion, Stat. Med. 17 (1998) 857-872, table I, method 3."""
    found = wilson(successes, trials)
    assert (found.low, found.high) == pytest.approx((low, high), abs=5e-5)


@pytest.mark.parametrize(
    ("counts", "low", "high"),
    [
        ((56, 70, 48, 80), 0.0524, 0.3339),
        ((9, 10, 3, 10), 0.1705, 0.8090),
        ((6, 7, 2, 7), 0.0582, 0.8062),
        ((5, 56, 0, 29), -0.0381, 0.1926),
        ((0, 10, 0, 20), -0.1611, 0.2775),
        ((0, 10, 0, 10), -0.2775, 0.2775),
        ((10, 10, 0, 20), 0.6791, 1.0000),
        ((10, 10, 0, 10), 0.6075, 1.0000),
    ],
)
def test_the_interval_of_a_difference_is_the_published_one(
    counts: tuple[int, int, int, int], low: float, high: float
) -> None:
    """R. G. Newcombe, Interval estimation for the difference between independent proportions: comparison of eleven methods,
    Stat. Med. 17 (1998) 873-890, table II, method 10."""
    found = difference(*counts)
    assert (found.low, found.high) == pytest.approx((low, high), abs=5e-5)


@given(st.integers(1, 500), st.integers(1, 500), st.data())
def test_an_interval_holds_its_estimate_and_turns_with_its_arms(trials: int, others: int, data: st.DataObject) -> None:
    successes, other = data.draw(st.integers(0, trials)), data.draw(st.integers(0, others))
    found = difference(successes, trials, other, others)
    assert -1 - 1e-9 <= found.low <= successes / trials - other / others + 1e-9
    assert successes / trials - other / others - 1e-9 <= found.high <= 1 + 1e-9
    turned = difference(other, others, successes, trials)
    assert (turned.low, turned.high) == pytest.approx((-found.high, -found.low), abs=1e-12)


def test_without_trials_anything_is_possible() -> None:
    assert wilson(0, 0) == Interval(0, 1)
    assert difference(1, 2, 0, 0) == Interval(-1, 1)


def test_means_are_compared_with_unequal_variances() -> None:
    """Worked by hand: means 10 and 8, variances 4 and 9, 100 and 50: half width 1.96 * sqrt(0.04 + 0.18)."""
    one = Sample(100, 1000.0, 4.0 * 99 + 100 * 100)
    other = Sample(50, 400.0, 9.0 * 49 + 50 * 64)
    found = mean_difference(one, other)
    assert found is not None
    assert (found.low, found.high) == pytest.approx((2 - 0.919304, 2 + 0.919304), abs=1e-5)
    assert mean_difference(Sample(29, 1.0, 1.0), other) is None


def test_the_verdict_waits_for_enough_carts_and_for_an_interval_without_zero() -> None:
    assert verdict(Arm(10, 5), Arm()) == "none"
    assert uplift(Arm(10, 5), Arm()) is None
    assert verdict(Arm(20, 19), Arm(500, 0)) == "too_few"
    assert verdict(Arm(100, 21), Arm(100, 20)) == "open"
    assert verdict(Arm(1000, 200), Arm(1000, 100)) == "better"
    assert verdict(Arm(1000, 100), Arm(1000, 200)) == "worse"


def test_revenue_is_compared_only_within_a_currency() -> None:
    treated = Arm(2, 1, {"EUR": Sample(1, 500.0, 250_000.0), "USD": Sample(1, 0.0, 0.0)})
    gaps = revenue_gaps(treated, Arm(1, 0, {"EUR": Sample(1, 0.0, 0.0)}))
    assert gaps == {"EUR": (500.0, None)}
