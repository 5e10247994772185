"""Quantiles in a distribution's tail, each only where so few values give an interval of it. No I/O."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

from collect.analysis.estimators import TAIL
from collect.analysis.statistics import median_interval

if TYPE_CHECKING:
    from collections.abc import Sequence

P90, P99 = 0.90, 0.99


@dataclass(frozen=True, slots=True)
class Quantile:
    """A quantile with its 95 % interval from order statistics, in the unit of the values."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Tail:
    """A distribution from its middle to its end; ``p90`` and ``p99`` are ``None`` where there are too few values.

    ``low`` and ``high`` are the interval of the median, ``None`` below six values.
    """

    n: int
    median: float
    low: float | None
    high: float | None
    p90: Quantile | None
    p99: Quantile | None
    maximum: float


def fewest(share: float) -> int:
    """Return how many values a two-sided 95 % interval of a quantile above the median takes: 36 for p90, 368 for p99.

    Below it even the largest value is exceeded by the quantile with a probability of more than 2.5 %: share ** n.
    """
    return math.ceil(math.log(TAIL) / math.log(share))


def quantile(values: Sequence[float], share: float) -> Quantile | None:
    """Return a quantile above the median (linear interpolation, type 7), or ``None`` where it has no interval.

    The interval has the order statistics that leave at most 2.5 % on either side: of the values as many are at most the
    quantile as a binomial draw of n with this probability. Source: David and Nagaraja, Order Statistics, section 7.1.
    """
    n = len(values)
    if n < fewest(share):
        return None
    low, high = (int(stats.binom.ppf(side, n, share)) for side in (TAIL, 1 - TAIL))
    ordered = np.sort(np.asarray(values, float))
    # Ranks count from 1: the lower end has rank `low`, the upper one rank `high` + 1.
    return Quantile(
        float(np.quantile(ordered, share)), float(ordered[max(low, 1) - 1]), float(ordered[min(high, n - 1)])
    )


def tail(values: Sequence[float]) -> Tail | None:
    """Return the tail of a sample, or ``None`` where there are no values."""
    if not values:
        return None
    interval = median_interval(values)
    middle = float(np.median(values))
    ends = quantile(values, P90), quantile(values, P99)
    return Tail(len(values), middle, interval.low, interval.high, *ends, float(max(values)))
