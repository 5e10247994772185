"""The statistics of the report: exact intervals of a median, bootstrap intervals of two medians. No I/O."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from scipy import stats

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

CONFIDENCE = 0.95
RESAMPLES = 9999
# Below this many values no 95 % interval of a median exists (2 * 0.5**5 > 0.05), so no bootstrap makes one up.
SMALLEST_SAMPLE = 6
SEED = 6

Statistic = Literal["pair ratio", "pair difference", "median ratio", "median difference", "IQR ratio", "share at least"]


@dataclass(frozen=True, slots=True)
class MedianInterval:
    """An interval of a median from order statistics, with its actual coverage.

    ``low_rank`` and ``high_rank`` count from 1. With fewer than six values the whole range covers less than 95 %:
    then ``low`` and ``high`` are ``None`` and ``coverage`` is what the range would have.
    """

    low: float | None
    high: float | None
    low_rank: int
    high_rank: int
    coverage: float


@dataclass(frozen=True, slots=True)
class Summary:
    """One metric of one scenario. Quartiles interpolate linearly between order statistics (type 7, numpy's default)."""

    n: int
    median: float
    interval: MedianInterval
    quartile_1: float
    quartile_3: float
    minimum: float
    maximum: float

    @property
    def iqr(self) -> float:
        """The interquartile range, in the metric's unit."""
        return self.quartile_3 - self.quartile_1


@dataclass(frozen=True, slots=True)
class Estimate:
    """A comparison of two samples, with its 95 % interval, or the reason why there is none.

    ``pairs`` is the number of pairs that were kept together, 0 when the samples were taken as independent; ``method``
    is how the interval was computed, in words, empty where there is none.
    """

    statistic: Statistic
    value: float | None
    low: float | None
    high: float | None
    pairs: int
    no_interval_because: str | None
    method: str


def median_interval(values: Sequence[float], confidence: float = CONFIDENCE) -> MedianInterval:
    """Return the narrowest symmetric order-statistic interval of the median with at least the requested coverage.

    The coverage is exact for a continuous distribution and a lower bound with ties: P(X_(r) <= median <= X_(n+1-r)) =
    1 - 2 * P(Binomial(n, 1/2) < r). Source: David and Nagaraja, Order Statistics, section 7.1.

    Raises:
        ValueError: there are no values.
    """
    if not values:
        raise ValueError("no values: the interval of a median needs at least one")
    ordered = sorted(values)
    n = len(ordered)
    rank = 1
    while _coverage(n, rank + 1) >= confidence:
        rank += 1
    coverage = _coverage(n, rank)
    if coverage < confidence:
        return MedianInterval(None, None, 1, n, coverage)
    return MedianInterval(ordered[rank - 1], ordered[n - rank], rank, n + 1 - rank, coverage)


def _coverage(n: int, rank: int) -> float:
    return float(1 - 2 * stats.binom.cdf(rank - 1, n, 0.5))


def summarise(values: Sequence[float]) -> Summary:
    """Return the summary of one metric's values.

    Raises:
        ValueError: there are no values.
    """
    interval = median_interval(values)
    quartile_1, median, quartile_3 = (float(value) for value in np.percentile(values, [25, 50, 75]))
    return Summary(len(values), median, interval, quartile_1, quartile_3, float(min(values)), float(max(values)))


def compare(
    statistic: Literal["median ratio", "median difference"],
    subject: Sequence[float],
    reference: Sequence[float],
    *,
    paired: bool,
    resamples: int = RESAMPLES,
) -> Estimate:
    """Return a statistic of subject against reference with its percentile bootstrap interval.

    ``paired`` resamples index by index, so both must have one length. The percentile method, not BCa: BCa estimates
    its acceleration by a jackknife, which is inconsistent for medians and quartiles (Efron and Tibshirani, An
    Introduction to the Bootstrap, section 11.7). The seed is fixed, so the same records give the same interval.

    Raises:
        ValueError: a sample is empty, or the samples are paired and of different length.
    """
    if not subject or not reference or (paired and len(subject) != len(reference)):
        raise ValueError("a comparison needs two samples, of one length when they are paired")
    function = _STATISTICS[statistic]
    pairs = len(subject) if paired else 0
    value = float(function(np.asarray(subject, float), np.asarray(reference, float)))
    if not np.isfinite(value):
        return Estimate(statistic, None, None, None, pairs, "the reference is zero", "")
    fewest = min(len(subject), len(reference))
    if fewest < SMALLEST_SAMPLE:
        reason = f"{fewest} repetition{'s' * (fewest > 1)}, at least {SMALLEST_SAMPLE} required"
        return Estimate(statistic, value, None, None, pairs, reason, "")
    with warnings.catch_warnings():
        # Resamples in which the reference is zero; the interval is then NaN, which is reported below.
        warnings.simplefilter("ignore", stats.DegenerateDataWarning)
        interval = stats.bootstrap(
            (subject, reference),
            function,
            n_resamples=resamples,
            paired=paired,
            vectorized=True,
            confidence_level=CONFIDENCE,
            method="percentile",
            rng=np.random.default_rng(SEED),
        ).confidence_interval
    low, high = float(interval.low), float(interval.high)
    if not (np.isfinite(low) and np.isfinite(high)):
        return Estimate(statistic, value, None, None, pairs, "the reference is zero in some resamples", "")
    method = f"bootstrap over {pairs} pairs" if pairs else "bootstrap, samples independent"
    return Estimate(statistic, value, low, high, pairs, None, method)


def _median_ratio(subject: NDArray[np.float64], reference: NDArray[np.float64], axis: int = -1) -> Any:
    return _divide(np.median(subject, axis=axis), np.median(reference, axis=axis))


def _median_difference(subject: NDArray[np.float64], reference: NDArray[np.float64], axis: int = -1) -> Any:
    return np.median(subject, axis=axis) - np.median(reference, axis=axis)


def _divide(numerator: Any, denominator: Any) -> Any:
    """Divide element by element; what is divided by zero is NaN, which the interval then is too."""
    shape = np.broadcast(numerator, denominator).shape
    return np.divide(numerator, denominator, out=np.full(shape, np.nan), where=np.asarray(denominator) > 0)


_STATISTICS: dict[Statistic, Callable[..., Any]] = {
    "median ratio": _median_ratio,
    "median difference": _median_difference,
}
