"""Medians of resamples that are drawn by rank have the distribution of those that are computed from resamples."""

from __future__ import annotations

from collections import Counter
from itertools import product

import numpy as np
import pytest
from scipy import stats

from collect.analysis import resampled, statistics

RESAMPLES = 100_000


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 6])
@pytest.mark.parametrize("ties", [False, True])
def test_the_medians_of_pairs_are_as_frequent_as_among_all_resamples_there_are(n: int, *, ties: bool) -> None:
    rng = np.random.default_rng(n)
    ours, theirs = (np.asarray(rng.permutation(n) // (1 + ties), dtype=np.float64) for _ in range(2))
    expected: Counter[tuple[float, float]] = Counter()
    for drawn in product(range(n), repeat=n):
        chosen = list(drawn)
        expected[float(np.median(ours[chosen])), float(np.median(theirs[chosen]))] += 1
    seen = Counter(zip(*(side.tolist() for side in _medians(ours, theirs)), strict=True))
    assert set(seen) <= set(expected)
    if len(expected) > 1:
        counts = np.array([seen[pair] for pair in expected])
        frequencies = RESAMPLES * np.array(list(expected.values())) / n**n
        assert stats.chisquare(counts, frequencies).pvalue > 1e-4


def _medians(ours: resampled.Values, theirs: resampled.Values) -> tuple[resampled.Values, resampled.Values]:
    return resampled.paired_medians(ours, theirs, RESAMPLES, np.random.default_rng(1))


@pytest.mark.parametrize("n", [1, 2, 5, 6])
def test_the_medians_of_a_sample_are_as_frequent_as_among_all_resamples_there_are(n: int) -> None:
    values = np.random.default_rng(n).normal(size=n)
    expected = Counter(float(np.median(values[list(drawn)])) for drawn in product(range(n), repeat=n))
    seen = Counter(resampled.medians(values, RESAMPLES, np.random.default_rng(1)).tolist())
    assert set(seen) <= set(expected)
    if n > 1:
        counts = np.array([seen[median] for median in expected])
        assert stats.chisquare(counts, RESAMPLES * np.array(list(expected.values())) / n**n).pvalue > 1e-4


@pytest.mark.parametrize("n", [240, 241])
@pytest.mark.parametrize("paired", [True, False])
def test_the_interval_is_that_of_resamples(monkeypatch: pytest.MonkeyPatch, n: int, *, paired: bool) -> None:
    rng = np.random.default_rng(n)
    ours = rng.lognormal(size=n)
    theirs = np.sqrt(ours) * rng.lognormal(size=n)
    drawn = statistics.compare("median ratio", ours, theirs, paired=paired)
    monkeypatch.setattr(statistics, "RESAMPLED", n)
    made = statistics.compare("median ratio", ours, theirs, paired=paired)
    assert (drawn.low, drawn.high) != (made.low, made.high)
    assert drawn.low == pytest.approx(made.low, abs=0.02)
    assert drawn.high == pytest.approx(made.high, abs=0.02)


def test_what_would_be_divided_by_zero_in_some_resamples_has_no_interval() -> None:
    reference = [0.0] * 150 + [1.0] * 151
    estimate = statistics.compare("median ratio", [1.0] * 301, reference, paired=True)
    assert estimate.no_interval_because == "the reference is zero in some resamples"
