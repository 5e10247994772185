"""The statistics of the report: exact intervals of a median, bootstrap intervals of two medians. No I/O."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from scipy import stats

from collect.analysis import resampled
from collect.analysis.estimators import CONFIDENCE, TAIL

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    Values = NDArray[np.float64]

RESAMPLES = 9999
# Below this many values no 95 % interval of a median exists (2 * 0.5**5 > 0.05), so no bootstrap makes one up.
SMALLEST_SAMPLE = 6
SEED = 6
# Up to so many values of a side each resample is made; beyond it, its medians are drawn, for which the rest of the
# resample need not be known. Both have the same distribution.
RESAMPLED = 200

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
    ordered = np.sort(np.asarray(values, float))
    n = len(ordered)
    # All but one of the ranks that have it are known from the quantile of the distribution.
    rank = max(1, int(stats.binom.ppf((1 - confidence) / 2, n, 0.5)) - 1)
    while _coverage(n, rank + 1) >= confidence:
        rank += 1
    coverage = _coverage(n, rank)
    if coverage < confidence:
        return MedianInterval(None, None, 1, n, coverage)
    return MedianInterval(float(ordered[rank - 1]), float(ordered[n - rank]), rank, n + 1 - rank, coverage)


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
    subject: Sequence[float] | Values,
    reference: Sequence[float] | Values,
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
    if not len(subject) or not len(reference) or (paired and len(subject) != len(reference)):
        raise ValueError("a comparison needs two samples, of one length when they are paired")
    ours, theirs = np.asarray(subject, float), np.asarray(reference, float)
    pairs = len(subject) if paired else 0
    value = float(_of_samples(statistic, ours, theirs))
    if not np.isfinite(value):
        return Estimate(statistic, None, None, None, pairs, "the reference is zero", "")
    fewest = min(len(subject), len(reference))
    if fewest < SMALLEST_SAMPLE:
        reason = f"{fewest} repetition{'s' * (fewest > 1)}, at least {SMALLEST_SAMPLE} required"
        return Estimate(statistic, value, None, None, pairs, reason, "")
    low, high = _percentiles(statistic, ours, theirs, resamples, paired=paired)
    if not (np.isfinite(low) and np.isfinite(high)):
        return Estimate(statistic, value, None, None, pairs, "the reference is zero in some resamples", "")
    method = f"bootstrap over {pairs} pairs" if pairs else "bootstrap, samples independent"
    return Estimate(statistic, value, low, high, pairs, None, method)


def _percentiles(
    statistic: Statistic, subject: Values, reference: Values, resamples: int, *, paired: bool
) -> tuple[float, float]:
    """Return the ends of the percentile bootstrap interval."""
    rng = np.random.default_rng(SEED)
    if max(len(subject), len(reference)) > RESAMPLED:
        if paired:
            ours, theirs = resampled.paired_medians(subject, reference, resamples, rng)
        else:
            ours, theirs = (resampled.medians(side, resamples, rng) for side in (subject, reference))
        low, high = np.percentile(_OF_MEDIANS[statistic](ours, theirs), [100 * TAIL, 100 * (1 - TAIL)])
        return float(low), float(high)
    with warnings.catch_warnings():
        # Resamples in which the reference is zero; the interval is then NaN, which is reported.
        warnings.simplefilter("ignore", stats.DegenerateDataWarning)
        interval = stats.bootstrap(
            (subject, reference),
            partial(_of_samples, statistic),
            n_resamples=resamples,
            paired=paired,
            vectorized=True,
            confidence_level=CONFIDENCE,
            method="percentile",
            rng=rng,
        ).confidence_interval
    return float(interval.low), float(interval.high)


def _of_samples(statistic: Statistic, subject: Values, reference: Values, axis: int = -1) -> Any:
    return _OF_MEDIANS[statistic](np.median(subject, axis=axis), np.median(reference, axis=axis))


def _divide(numerator: Any, denominator: Any) -> Any:
    """Divide element by element; what is divided by zero is NaN, which the interval then is too."""
    shape = np.broadcast(numerator, denominator).shape
    return np.divide(numerator, denominator, out=np.full(shape, np.nan), where=np.asarray(denominator) > 0)


_OF_MEDIANS: dict[Statistic, Callable[[Any, Any], Any]] = {
    "median ratio": _divide,
    "median difference": np.subtract,
}
