"""The typical ratio over several runs, with the interval that holds for a further run of the same kind. No I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

from collect.analysis import estimators
from collect.analysis.statistics import RESAMPLES, SEED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from collect.analysis.estimators import Interval, Values

# So many resampled estimates of each run; of a run with more pairs than `estimators.EXACT_PAIRS` they are drawn from
# the normal distribution that its own interval has, which is then as good.
RESAMPLED = 2000
# What half of a 95 % interval of a normal distribution is, in standard deviations.
NORMAL = float(stats.norm.ppf(1 - estimators.TAIL))
# Averages of two pairs that are held at once: 40 MB.
AT_ONCE = 5_000_000


def student(of_runs: Values) -> Interval:
    """Return the mean of the runs' estimates with Student's interval: each run is one value, however long it was.

    It holds whatever repetitions of one run have in common, and is the method of batch means with runs for batches
    (`estimators.mean`).
    """
    return estimators.mean(of_runs)


def hierarchical_bootstrap(
    runs: Sequence[Values], *, in_rounds: Sequence[bool], seed: int = SEED, resamples: int = RESAMPLES
) -> tuple[float, float]:
    """Return the percentile interval of the mean of the runs' estimates: runs are drawn, then what each run has.

    Args:
        runs: of each run the logarithms of its pairs' ratios, or of their means by round.
        in_rounds: of each run whether it is means of rounds, whose mean is its estimate, and not pairs.
        seed: the same seed gives the same interval.
        resamples: how many means are drawn.

    Of few runs it is too narrow where runs differ: of k runs a bootstrap sees (k - 1) / k of their variance, and knows
    no more than their range. Sources: Davison and Hinkley, Bootstrap Methods and their Application, section 3.8;
    Saravanan, Berman and Sober, Neurons, Behavior, Data analysis, and Theory 3 (2020).
    """
    rng = np.random.default_rng(seed)
    pool = np.stack([_estimates(run, rounds, rng) for run, rounds in zip(runs, in_rounds, strict=True)])
    count = len(runs)
    means = np.empty(resamples)
    rows = max(1, AT_ONCE // count)
    for first in range(0, resamples, rows):
        size = min(rows, resamples - first)
        drawn = rng.integers(count, size=(size, count))
        means[first : first + size] = pool[drawn, rng.integers(RESAMPLED, size=(size, count))].mean(axis=1)
    low, high = np.percentile(means, [100 * estimators.TAIL, 100 * (1 - estimators.TAIL)])
    return float(low), float(high)


def _estimates(values: Values, in_rounds: bool, rng: np.random.Generator) -> Values:
    n = len(values)
    if in_rounds:
        return np.asarray(values[rng.integers(n, size=(RESAMPLED, n))].mean(axis=1))
    if n > estimators.EXACT_PAIRS:
        value, low, high = estimators.hodges_lehmann(values)
        return rng.normal(value, (high - low) / 2 / NORMAL, RESAMPLED)
    rows = max(1, AT_ONCE // (n * (n + 1) // 2))
    parts = [
        estimators.hodges_lehmann(values[rng.integers(n, size=(min(rows, RESAMPLED - first), n))])[0]
        for first in range(0, RESAMPLED, rows)
    ]
    return np.concatenate(parts)
