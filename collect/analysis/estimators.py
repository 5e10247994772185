"""Estimates of two scenarios' comparison with their 95 % intervals, on arrays. No I/O.

The last axis of an array is the repetitions of one run; the axes before it are runs, so that ``benchmarks.coverage``
puts thousands of simulated runs through the code that judges a real one. Each function returns value, low and high.
"""

from __future__ import annotations

import math
from functools import cache, lru_cache
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Values = NDArray[np.float64]
    Interval = tuple[Values, Values, Values]

CONFIDENCE = 0.95
TAIL = (1 - CONFIDENCE) / 2
# Up to so many pairs, or values of both sides together, the distribution of the statistic of the ranks is computed;
# beyond it the normal approximation is as good.
EXACT_PAIRS = 200
EXACT_VALUES = 50  # so that counts stay whole numbers in a double
# Up to so many repetitions all averages or differences of two are listed (32 MB); beyond it those near the ranks.
LISTED = 2000
# So many of these are sorted at once (40 MB with their places).
SORTED = 1 << 20
# The jackknife leaves out so many groups at most, each of consecutive repetitions.
JACKKNIFE_GROUPS = 50
QUARTILES = (0.25, 0.75)
# Weights of the quartiles of so many numbers of values are kept: those of a sample and of it without a group.
WEIGHTS_KEPT = 64


def hodges_lehmann(differences: Values) -> Interval:
    """Return the pseudomedian of paired differences: the median of the averages of any two, each with itself included.

    The interval inverts Wilcoxon's signed-rank test: exact for differences that are symmetric about it, conservative
    with ties. Source: Hollander, Wolfe and Chicken, Nonparametric Statistical Methods, sections 3.2 and 3.3; R's
    ``wilcox.test(conf.int = TRUE)``.
    """
    n = differences.shape[-1]
    if n > LISTED:
        return _counted_averages(np.sort(differences))
    first, second = np.triu_indices(n)
    return _middle((differences[..., first] + differences[..., second]) / 2, signed_rank(n))


def shift(subject: Values, reference: Values) -> Interval:
    """Return the median of all differences between independent samples; its interval inverts the rank-sum test.

    Source: Hollander, Wolfe and Chicken, sections 4.2 and 4.3; R's ``wilcox.test(x, y, conf.int = TRUE)``.
    """
    n, m = subject.shape[-1], reference.shape[-1]
    if n * m > LISTED * LISTED:
        return _counted_differences(np.sort(subject), np.sort(reference))
    differences = subject[..., :, None] - reference[..., None, :]
    return _middle(differences.reshape(*differences.shape[:-2], n * m), rank_sum(n, m))


def mean(rounds: Values) -> Interval:
    """Return the mean of rounds with Student's interval, which holds however alike repetitions of one block are.

    It is the method of batch means. Source: Law, Simulation Modeling and Analysis, section 9.5.3.
    """
    count = rounds.shape[-1]
    value = rounds.mean(axis=-1)
    if count == 1:
        return value, np.full_like(value, np.nan), np.full_like(value, np.nan)
    reach = _t(count - 1) * rounds.std(axis=-1, ddof=1) / np.sqrt(count)
    return value, value - reach, value + reach


def spread_ratio(subject: Values, reference: Values, groups: NDArray[np.int64] | None) -> Interval:
    """Return the logarithm of the ratio of the interquartile ranges, with a jackknife interval.

    ``groups`` numbers what is left out together, from 0 on: pairs, or rounds of blocks; without it the samples are
    independent. The quartiles are Harrell and Davis's, weighted means of all order statistics: a jackknife needs a
    smooth statistic. Where nearly all values are the same the result is not finite. Sources: Harrell and Davis,
    Biometrika 69 (1982) 635; Efron and Tibshirani, An Introduction to the Bootstrap, chapter 11.
    """
    ours, theirs = (consecutive(sample.shape[-1]) if groups is None else groups for sample in (subject, reference))
    with np.errstate(invalid="ignore"):
        of_subject, subject_without = _log_iqr(subject, ours)
        of_reference, reference_without = _log_iqr(reference, theirs)
        if groups is None:
            variance = _variance(subject_without) + _variance(reference_without)
        else:
            variance = _variance(subject_without - reference_without)
        freedom = min(subject_without.shape[-1], reference_without.shape[-1]) - 1
        value, reach = of_subject - of_reference, _t(freedom) * np.sqrt(variance)
        return value, value - reach, value + reach


def log_iqr(values: Values) -> Values:
    """Return the logarithm of the interquartile range, minus infinity where all values are the same."""
    return _log_iqr_of_ordered(np.sort(values, axis=-1))


def _log_iqr_of_ordered(ordered: Values) -> Values:
    low, high = (_quartile_weights(ordered.shape[-1], quartile) for quartile in QUARTILES)
    # From the smallest on, so that equal values give exactly zero.
    with np.errstate(divide="ignore"):
        return np.log((ordered - ordered[..., :1]) @ (high - low))


def consecutive(n: int) -> NDArray[np.int64]:
    """Return the jackknife's group of each of ``n`` repetitions: one each, or fifty groups of consecutive ones."""
    return np.arange(n) * min(n, JACKKNIFE_GROUPS) // n


def share(successes: Values, trials: int) -> Interval:
    """Return a share with its exact interval (Clopper and Pearson, Biometrika 26 (1934) 404)."""
    failures = trials - successes
    with np.errstate(invalid="ignore"):
        low = np.where(successes > 0, stats.beta.ppf(TAIL, successes, failures + 1), 0.0)
        high = np.where(failures > 0, stats.beta.ppf(1 - TAIL, successes + 1, failures), 1.0)
    return successes / trials, low, high


@cache
def signed_rank(n: int) -> int:
    """Return the rank, from 1, of the average that is the low end of the interval of ``n`` pairs."""
    if n > EXACT_PAIRS:
        return _normal_rank(n * (n + 1) / 4, n * (n + 1) * (2 * n + 1) / 24)
    # Each rank is in the sum or not, with even odds.
    chances = np.zeros(n * (n + 1) // 2 + 1)
    chances[0] = 1.0
    for rank in range(1, n + 1):
        chances[rank:] = chances[rank:] + chances[:-rank]
        chances /= 2
    return max(1, int(np.searchsorted(np.cumsum(chances), TAIL)))


@cache
def rank_sum(n: int, m: int) -> int:
    """Return the rank, from 1, of the difference that is the low end of the interval of ``n`` and ``m`` values."""
    if n + m > EXACT_VALUES:
        return _normal_rank(n * m / 2, n * m * (n + m + 1) / 12)
    # How many orders of the values give each statistic: the coefficients of Gauss's binomial, a product of n quotients.
    orders = np.zeros(n * m + 1)
    orders[0] = 1.0
    for place in range(1, n + 1):
        orders[m + place :] = orders[m + place :] - orders[: -m - place]
        for rest in range(place):
            orders[rest::place] = np.cumsum(orders[rest::place])
    return max(1, int(np.searchsorted(np.cumsum(orders) / math.comb(n + m, n), TAIL)))


def _normal_rank(expected: float, variance: float) -> int:
    return max(1, math.ceil(expected + stats.norm.ppf(TAIL) * math.sqrt(variance) - 0.5))


def _middle(values: Values, rank: int) -> Interval:
    """Return the median, and the order statistics of ``rank`` from either end."""
    last = values.shape[-1] - 1
    low, left, right, high = rank - 1, last // 2, last - last // 2, last - rank + 1
    placed = np.partition(values, sorted({low, left, right, high}), axis=-1)
    return (placed[..., left] + placed[..., right]) / 2, placed[..., low], placed[..., high]


def _counted_averages(ordered: Values) -> Interval:
    n = len(ordered)
    places = np.arange(n)

    def ends(value: float) -> NDArray[np.int64]:
        # Of each, how far the partners reach with which its average is at most so large; those before it are its own.
        return np.maximum(np.searchsorted(ordered, 2 * value - ordered, side="right"), places)

    def values(first: NDArray[np.int64], second: NDArray[np.int64]) -> Values:
        return (ordered[first] + ordered[second]) / 2

    return _counted(ends, values, (ordered[0], ordered[-1]), n * (n + 1) // 2, signed_rank(n))


def _counted_differences(subject: Values, reference: Values) -> Interval:
    n, m = len(subject), len(reference)

    def ends(value: float) -> NDArray[np.int64]:
        return np.searchsorted(subject, reference + value, side="right")

    def values(first: NDArray[np.int64], second: NDArray[np.int64]) -> Values:
        return subject[second] - reference[first]

    return _counted(ends, values, (subject[0] - reference[-1], subject[-1] - reference[0]), n * m, rank_sum(n, m))


def _counted(
    ends: Callable[[float], NDArray[np.int64]],
    values: Callable[[NDArray[np.int64], NDArray[np.int64]], Values],
    span: tuple[float, float],
    count: int,
    rank: int,
) -> Interval:
    """Return what `_middle` does without listing all values: bounds are halved until few lie between them.

    Args:
        ends: of each value of one side, up to which place of the other their combination is at most so large.
        values: the combinations of places of both sides.
        span: the least and the largest combination.
        count: how many combinations there are.
        rank: that of the low end of the interval, from 1.
    """
    lowest = np.nextafter(span[0], -np.inf)
    of_none, of_all = ends(lowest), ends(span[1])
    left_out = int(of_none.sum())

    def ranked(first: int, last: int) -> Values:
        """Return the values of neighbouring ranks; all the same where more than are sorted are equal."""
        below, above, starts, stops = lowest, span[1], of_none, of_all
        while (stops - starts).sum() > SORTED and (middle := (below + above) / 2) not in (below, above):
            at_most = ends(middle)
            number = int(at_most.sum()) - left_out
            if number >= last:
                above, stops = middle, at_most
            elif number < first:
                below, starts = middle, at_most
            else:
                return np.concatenate([ranked(first, number), ranked(number + 1, last)])
        lengths = stops - starts
        if lengths.sum() > SORTED:
            return np.full(last - first + 1, above)
        one = np.repeat(np.arange(len(starts)), lengths)
        other = np.arange(len(one)) - np.repeat(np.cumsum(lengths) - lengths - starts, lengths)
        before = int(starts.sum()) - left_out
        return np.sort(values(one, other))[first - before - 1 : last - before]

    middle = ranked((count + 1) // 2, count // 2 + 1)
    return np.asarray(middle.mean()), ranked(rank, rank)[0], ranked(count + 1 - rank, count + 1 - rank)[0]


def _log_iqr(values: Values, groups: NDArray[np.int64]) -> tuple[Values, Values]:
    """Return the logarithm of the interquartile range, and of those without each group."""
    order = np.argsort(values, axis=-1, kind="stable")
    ordered = np.take_along_axis(values, order, axis=-1)
    of_ordered = groups[order]

    def without(group: int) -> Values:
        # What is left of ordered values is in order; each run lacks as many.
        kept = ordered[of_ordered != group]
        return _log_iqr_of_ordered(kept.reshape(*values.shape[:-1], np.count_nonzero(groups != group)))

    return _log_iqr_of_ordered(ordered), np.stack([without(group) for group in range(int(groups.max()) + 1)], axis=-1)


@lru_cache(WEIGHTS_KEPT)
def _quartile_weights(n: int, quartile: float) -> Values:
    """Return the weight of each order statistic in a quartile, as Harrell and Davis have it."""
    return np.diff(stats.beta.cdf(np.arange(n + 1) / n, (n + 1) * quartile, (n + 1) * (1 - quartile)))


def _variance(without: Values) -> Values:
    """Return the jackknife's variance from the values without each group."""
    count = without.shape[-1]
    return np.asarray((count - 1) * without.var(axis=-1))


def _t(freedom: int) -> float:
    return float(stats.t.ppf(1 - TAIL, freedom))
