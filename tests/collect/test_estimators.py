"""The estimates of comparisons against R's published output, scipy's tests and what must hold for any numbers."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from scipy.stats import mstats

from collect.analysis import estimators

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Hamilton's depression scale of nine patients before and after a session: the example of R's help(wilcox.test), from
# Hollander and Wolfe (1973), page 29.
BEFORE = np.array([1.83, 0.50, 1.62, 2.48, 1.68, 1.88, 1.55, 3.06, 1.30])
AFTER = np.array([0.878, 0.647, 0.598, 2.05, 1.06, 1.29, 1.06, 3.14, 1.29])
# The permeability of the membrane at term and at 12 to 26 weeks: the other example there, page 69.
TERM = np.array([0.80, 0.83, 1.89, 1.04, 1.45, 1.38, 1.91, 1.64, 0.73, 1.46])
WEEKS = np.array([1.15, 0.88, 0.90, 0.74, 1.21])

numbers = st.lists(st.floats(-1e3, 1e3), min_size=6, max_size=30).map(np.asarray)


def test_pairs_give_what_r_prints_for_its_own_example() -> None:
    # R: wilcox.test(x, y, paired = TRUE, conf.int = TRUE)
    assert estimators.hodges_lehmann(BEFORE - AFTER) == pytest.approx((0.46, 0.01, 0.786))


def test_independent_samples_give_what_r_prints_for_its_own_example() -> None:
    # R: wilcox.test(A, B, conf.int = TRUE)
    assert estimators.shift(TERM, WEEKS) == pytest.approx((0.305, -0.15, 0.76))


# The tables of the signed-rank test, two-sided 5 %: the largest statistic that is still significant.
@pytest.mark.parametrize(("n", "critical"), [(6, 0), (7, 2), (8, 3), (9, 5), (10, 8), (15, 25), (20, 52), (50, 434)])
def test_the_ranks_of_pairs_are_those_of_the_tables(n: int, critical: int) -> None:
    assert estimators.signed_rank(n) == critical + 1


@pytest.mark.parametrize(("n", "m", "critical"), [(6, 6, 5), (8, 8, 13), (10, 10, 23), (20, 20, 127), (10, 20, 55)])
def test_the_ranks_of_independent_samples_are_those_of_the_tables(n: int, m: int, critical: int) -> None:
    assert estimators.rank_sum(n, m) == critical + 1


@given(numbers)
def test_the_interval_of_pairs_is_what_the_signed_rank_test_does_not_reject(differences: NDArray[np.float64]) -> None:
    value, low, high = estimators.hodges_lehmann(differences)
    assert low <= value <= high
    for shift, kept in ((low - 1, False), (high + 1, False), ((low + high) / 2, True)):
        moved = differences - shift
        # Without ties the test is exact, and the two must agree.
        if len(set(abs(moved))) == len(moved) and np.all(moved != 0):
            pvalue = stats.wilcoxon(moved, method="exact").pvalue
            assert kept <= (pvalue > 0.05) or low == high


@pytest.mark.parametrize(("n", "m"), [(6, 6), (6, 17), (9, 8)])
def test_the_ranks_of_independent_samples_are_those_of_scipys_exact_test(n: int, m: int) -> None:
    # Shifting one sample past the interval's end, one difference at a time, changes the statistic by one.
    ours, theirs = np.random.default_rng(n * m).normal(size=n), np.random.default_rng(n + m).normal(size=m)
    differences = np.sort((ours[:, None] - theirs).ravel())
    rank = estimators.rank_sum(n, m)
    for place, rejected in ((rank - 2, True), (rank - 1, False)):
        between = (differences[place] + differences[place + 1]) / 2
        assert (stats.mannwhitneyu(ours - between, theirs, method="exact").pvalue < 0.05) == rejected


def test_beyond_exact_pairs_the_rank_hardly_changes() -> None:
    n = estimators.EXACT_PAIRS
    expected, variance = n * (n + 1) / 4, n * (n + 1) * (2 * n + 1) / 24
    normal = expected + stats.norm.ppf(0.025) * np.sqrt(variance)
    assert estimators.signed_rank(n) == pytest.approx(normal, rel=2e-4)


def test_more_pairs_than_can_be_listed_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(4).standard_normal(301)
    listed = estimators.hodges_lehmann(values), estimators.shift(values[:100], values[100:])
    monkeypatch.setattr(estimators, "LISTED", 10)
    counted = estimators.hodges_lehmann(values), estimators.shift(values[:100], values[100:])
    np.testing.assert_allclose(counted, listed, rtol=0, atol=1e-14)


def test_the_mean_of_rounds_is_students() -> None:
    rounds = np.array([0.21, 0.35, 0.28, 0.30])
    expected = stats.ttest_1samp(rounds, 0).confidence_interval(0.95)
    assert estimators.mean(rounds) == pytest.approx((rounds.mean(), expected.low, expected.high))


@pytest.mark.parametrize(("successes", "trials"), [(0, 20), (1, 20), (7, 20), (20, 20), (3, 6)])
def test_a_share_has_the_exact_interval_of_the_binomial_test(successes: int, trials: int) -> None:
    expected = stats.binomtest(successes, trials).proportion_ci(0.95, method="exact")
    seen = estimators.share(np.asarray(float(successes)), trials)
    assert seen == pytest.approx((successes / trials, expected.low, expected.high))


def test_the_ratio_of_spreads_has_harrells_and_daviss_quartiles() -> None:
    ours, theirs = np.random.default_rng(8).lognormal(0, 0.4, (2, 20))
    quartiles = [mstats.hdquantiles(sample, prob=[0.25, 0.75]) for sample in (ours, theirs)]
    expected = np.log((quartiles[0][1] - quartiles[0][0]) / (quartiles[1][1] - quartiles[1][0]))
    for groups in (np.arange(20), None):
        assert estimators.spread_ratio(ours, theirs, groups)[0] == pytest.approx(expected)


def test_the_jackknife_of_the_ratio_of_spreads_is_its_definition() -> None:
    ours, theirs = np.random.default_rng(9).lognormal(0, 0.4, (2, 12))
    without = np.array(
        [estimators.log_iqr(np.delete(ours, one)) - estimators.log_iqr(np.delete(theirs, one)) for one in range(12)]
    )
    error = np.sqrt(11 / 12 * ((without - without.mean()) ** 2).sum())
    value, low, high = estimators.spread_ratio(ours, theirs, np.arange(12))
    assert (high - low) / 2 == pytest.approx(stats.t.ppf(0.975, 11) * error)
    assert (high + low) / 2 == pytest.approx(value)


def test_many_repetitions_are_left_out_in_fifty_groups_of_neighbours() -> None:
    groups = estimators.consecutive(1030)
    assert sorted(set(groups.tolist())) == list(range(50))
    assert np.all(np.diff(groups) >= 0)
    assert np.ptp(np.bincount(groups)) <= 1
    assert estimators.consecutive(7).tolist() == list(range(7))


def test_a_simulated_run_is_judged_as_one_that_stands_alone() -> None:
    ours, theirs = np.random.default_rng(10).lognormal(0, 0.3, (2, 5, 20))
    groups = np.arange(20)
    several = [
        estimators.hodges_lehmann(ours - theirs),
        estimators.shift(ours, theirs),
        estimators.mean(ours),
        estimators.spread_ratio(ours, theirs, groups),
        estimators.spread_ratio(ours, theirs, None),
    ]
    for run, end in product(range(5), range(3)):
        alone = [
            estimators.hodges_lehmann(ours[run] - theirs[run]),
            estimators.shift(ours[run], theirs[run]),
            estimators.mean(ours[run]),
            estimators.spread_ratio(ours[run], theirs[run], groups),
            estimators.spread_ratio(ours[run], theirs[run], None),
        ]
        assert [one[end] for one in alone] == pytest.approx([all_of[end][run] for all_of in several])
