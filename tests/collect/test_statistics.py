"""The statistics against known answers: binomial tables, scipy's quantile test and scipy's bootstrap."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from collect.analysis import statistics

finite = st.floats(0.001, 1e6)


def test_at_20_values_the_median_lies_between_the_6th_and_the_15th_at_95_9_percent() -> None:
    result = statistics.median_interval([float(value) for value in range(1, 21)])
    assert (result.low, result.high, result.low_rank, result.high_rank) == (6, 15, 6, 15)
    # Of the 2**20 ways to fall below or above it, 1 + 20 + 190 + 1140 + 4845 + 15504 put five or fewer below.
    assert result.coverage == pytest.approx(1 - 2 * 21700 / 2**20)


@pytest.mark.parametrize("n", range(1, 6))
def test_below_six_values_no_interval_is_made_up(n: int) -> None:
    result = statistics.median_interval([float(value) for value in range(n)])
    assert result.low is None
    assert result.high is None
    assert result.coverage == pytest.approx(1 - 0.5 ** (n - 1))


def test_at_six_values_the_interval_is_the_whole_range() -> None:
    result = statistics.median_interval([3.0, 1.0, 2.0, 6.0, 5.0, 4.0])
    assert (result.low, result.high) == (1, 6)
    assert result.coverage == pytest.approx(1 - 2 / 64)


@given(st.lists(finite, min_size=6, max_size=80))
def test_the_interval_is_the_narrowest_with_the_coverage_and_holds_the_median(values: list[float]) -> None:
    result = statistics.median_interval(values)
    assert result.low is not None
    assert result.high is not None
    assert result.low <= float(np.median(values)) <= result.high
    assert result.coverage >= 0.95
    assert 1 - 2 * stats.binom.cdf(result.low_rank, len(values), 0.5) < 0.95


def test_the_interval_is_what_the_quantile_test_of_scipy_gives() -> None:
    values = list(np.random.default_rng(3).normal(size=20))
    theirs: Any = stats.quantile_test(values, q=0, p=0.5).confidence_interval(0.95)
    result = statistics.median_interval(values)
    assert (result.low, result.high) == (theirs.low, theirs.high)


def test_quartiles_interpolate_as_r_does_by_default() -> None:
    result = statistics.summarise([1.0, 2.0, 4.0, 8.0, 16.0])
    # R: quantile(c(1, 2, 4, 8, 16)), type 7
    assert (result.quartile_1, result.median, result.quartile_3, result.iqr) == (2, 4, 8, 6)


def test_the_paired_interval_is_scipys_own() -> None:
    random = np.random.default_rng(5)
    ours, theirs = random.normal(3, 1, 20), random.normal(5, 1, 20)

    def difference(a: np.ndarray, b: np.ndarray, axis: int) -> Any:
        return np.median(a, axis=axis) - np.median(b, axis=axis)

    expected = stats.bootstrap(
        (ours, theirs),
        difference,
        paired=True,
        method="percentile",
        n_resamples=statistics.RESAMPLES,
        rng=np.random.default_rng(statistics.SEED),
    ).confidence_interval
    result = statistics.compare("median difference", list(ours), list(theirs), paired=True)
    assert (result.low, result.high) == (expected.low, expected.high)
    assert result.value == pytest.approx(np.median(ours) - np.median(theirs))
    assert result.pairs == 20


def test_what_both_share_cancels_when_they_are_paired() -> None:
    shared = np.random.default_rng(7).normal(10, 3, 20)
    paired = statistics.compare("median difference", list(shared - 1), list(shared), paired=True)
    apart = statistics.compare("median difference", list(shared - 1), list(shared), paired=False)
    assert paired.low == pytest.approx(-1)
    assert paired.high == pytest.approx(-1)
    assert apart.low is not None
    assert apart.low < -2


def test_about_95_of_100_intervals_hold_the_true_ratio() -> None:
    held = 0
    for seed in range(200):
        random = np.random.default_rng(seed)
        ours, theirs = random.lognormal(0, 0.2, 20), random.lognormal(0.5, 0.2, 20)
        result = statistics.compare("median ratio", list(ours), list(theirs), paired=False, resamples=500)
        assert result.low is not None
        assert result.high is not None
        held += result.low <= np.exp(-0.5) <= result.high
    assert 180 <= held <= 200


def test_ties_give_an_interval_without_width_and_no_warning() -> None:
    result = statistics.compare("median difference", [0.9] * 20, [0.9] * 20, paired=True)
    assert (result.value, result.low, result.high) == (0, 0, 0)


def test_a_reference_that_is_zero_has_no_ratio() -> None:
    result = statistics.compare("median ratio", [1.0] * 20, [0.0] * 20, paired=True)
    assert result.value is None
    assert result.no_interval_because == "the reference is zero"


def test_a_reference_that_is_zero_in_some_resamples_only_has_no_interval() -> None:
    reference = [1.0] * 11 + [0.0] * 9
    result = statistics.compare("median ratio", [float(value) for value in range(20)], reference, paired=True)
    assert result.value is not None
    assert result.low is None
    assert result.no_interval_because == "the reference is zero in some resamples"


def test_three_repetitions_give_a_ratio_and_no_interval() -> None:
    result = statistics.compare("median ratio", [1.0, 2.0, 3.0], [4.0, 4.0, 4.0], paired=True)
    assert result.value == 0.5
    assert (result.low, result.high) == (None, None)
    assert result.no_interval_because == "3 repetitions, at least 6 required"


@given(st.lists(st.tuples(finite, finite), min_size=6, max_size=12))
def test_the_same_numbers_give_the_same_interval(pairs: list[tuple[float, float]]) -> None:
    ours, theirs = [a for a, _ in pairs], [b for _, b in pairs]
    first = statistics.compare("median ratio", ours, theirs, paired=True, resamples=50)
    assert first == statistics.compare("median ratio", ours, theirs, paired=True, resamples=50)
    assert first.low is not None
    assert first.high is not None
    assert first.low <= first.high


@pytest.mark.parametrize(("ours", "theirs"), [([], [1.0]), ([1.0], []), ([1.0, 2.0], [1.0])])
def test_samples_that_do_not_fit_are_refused(ours: list[float], theirs: list[float]) -> None:
    with pytest.raises(ValueError, match="two samples"):
        statistics.compare("median ratio", ours, theirs, paired=True)


def test_the_median_of_no_values_is_refused() -> None:
    with pytest.raises(ValueError, match="no values"):
        statistics.median_interval([])
