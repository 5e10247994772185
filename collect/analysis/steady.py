"""Whether a scenario was in a steady state from its first repetition on, or needed more warm-ups. No I/O."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from statistics import median
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

from collect.analysis.dependence import SIGNIFICANT
from collect.analysis.statistics import RESAMPLES, SEED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from collect.analysis.estimators import Values

# So much of a run may be its beginning: a change further on is a drift (`collect.analysis.dependence`).
EARLY_SHARE = 0.25
MOST_EARLY = 100
# Of fewer values chance makes any beginning in more than one of a hundred orders: of eleven it is two values at most.
FEWEST = 12
# Up to so many repetitions the orders are drawn; beyond it sums of scores are as good as normal.
DRAWN = 400


@dataclass(frozen=True, slots=True)
class Steadiness:
    """The beginning that is least like the rest: how many repetitions, both medians, and how often chance does that."""

    first: int
    median_first: float
    median_rest: float
    p: float

    @property
    def steady(self) -> bool:
        """Whether chance explains it."""
        return self.p >= SIGNIFICANT


def steadiness(values: Sequence[float]) -> Steadiness | None:
    """Return whether the first values are like the rest; ``None`` where there are fewer than `FEWEST`.

    Of each possible beginning, up to a quarter of the values, it takes the sum of the normal scores (van der Waerden's)
    in standard deviations; the largest is the statistic, and its p-value is how often the same values in a drawn order
    have one as large. So one value that is far off has no more weight than the largest of as many has, and where
    values are independent, however distributed, chance alone is reported in one of a hundred cases. Source: a maximally
    selected rank statistic, as in Lausen and Schumacher, Biometrics 48 (1992) 73, with its permutation distribution.
    """
    n = len(values)
    if n < FEWEST or np.ptp(values) == 0:
        return None
    early = _early(n)
    scores = stats.norm.ppf(stats.rankdata(values) / (n + 1))
    sums = _standardised(np.cumsum(scores[:early]), n) / _deviation(scores)
    first = int(np.argmax(np.abs(sums))) + 1
    # Sums of the same scores in another order may differ in their last bits.
    by_chance = _of_drawn_orders(scores) if n <= DRAWN and len(set(values)) < n else _by_chance(n)
    reached = RESAMPLES - int(np.searchsorted(by_chance, np.abs(sums).max() - 1e-9))
    return Steadiness(first, median(values[:first]), median(values[first:]), (reached + 1) / (RESAMPLES + 1))


def _early(n: int) -> int:
    return min(int(n * EARLY_SHARE), MOST_EARLY)


def _standardised(sums: Values, n: int) -> Values:
    """Return sums of the first 1, 2, 3 … of n scores of variance 1 and sum 0, in their standard deviations."""
    count = np.arange(1, sums.shape[-1] + 1)
    return np.asarray(sums / np.sqrt(count * (n - count) / n))


@cache
def _by_chance(n: int) -> Values:
    """Return the statistic of n values without ties in drawn orders, from the smallest on."""
    if n <= DRAWN:
        return _of_drawn_orders(stats.norm.ppf(np.arange(1, n + 1) / (n + 1)))
    rng = np.random.default_rng(SEED)
    early = _early(n)
    drawn = rng.standard_normal((RESAMPLES, early))
    total = drawn.sum(axis=1) + np.sqrt(n - early) * rng.standard_normal(RESAMPLES)
    sums = np.cumsum(drawn, axis=1) - total[:, None] * np.arange(1, early + 1) / n
    return np.sort(np.abs(_standardised(sums, n)).max(axis=1))


def _of_drawn_orders(scores: Values) -> Values:
    n = len(scores)
    drawn = np.random.default_rng(SEED).permuted(np.tile(scores, (RESAMPLES, 1)), axis=1)[:, : _early(n)]
    sums = _standardised(np.cumsum(drawn, axis=1), n) / _deviation(scores)
    return np.sort(np.abs(sums).max(axis=1))


def _deviation(scores: Values) -> float:
    """Return the standard deviation of scores whose sum is 0."""
    return float(np.sqrt((scores**2).sum() / (len(scores) - 1)))
