"""How many runs, or repetitions of each run, make the interval of a ratio as narrow as somebody wants it. No I/O."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from scipy import stats

from collect.analysis.estimators import TAIL
from collect.analysis.statistics import SMALLEST_SAMPLE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from collect.analysis.components import Components

# Percentage points to either side of the ratio.
POINTS = (10.0, 5.0, 2.0)
# Nobody measures more: the answer is then that it cannot be had this way.
MOST_RUNS = 1000
MOST_REPETITIONS = 100_000


@dataclass(frozen=True, slots=True)
class Need:
    """What an interval of so many percentage points to either side needs, each alone; ``None``: it cannot be had so."""

    points: float
    runs: int | None
    repetitions: int | None


def needs(ratio: float, variation: Components, repetitions: int, points: Sequence[float] = POINTS) -> tuple[Need, ...]:
    """Return for each precision how many runs of so many repetitions it needs, or repetitions of as many runs as now.

    It is Student's interval of the runs' mean, whose variance is (run + within / repetitions) / runs. The variances are
    taken as they were estimated, so an interval comes out wider in about every second experiment of that size.

    Args:
        ratio: the typical ratio.
        variation: variance components of the logarithms of the pairs' ratios.
        repetitions: of each run.
        points: half widths of the interval, in percentage points of the ratio.
    """
    return tuple(_need(at, math.asinh(at / 100 / ratio), variation, repetitions) for at in points)


def _need(points: float, reach: float, variation: Components, repetitions: int) -> Need:
    of_run = variation.run + variation.within_run / repetitions
    runs = next((count for count in range(2, MOST_RUNS + 1) if _reach(of_run, count) <= reach), None)
    # What is left to the repetitions of the variance that as many runs as now may have.
    left = (reach / _reach(1.0, variation.runs)) ** 2 - variation.run
    more = None
    if left > 0 and variation.within_run / left <= MOST_REPETITIONS:
        more = max(SMALLEST_SAMPLE, math.ceil(variation.within_run / left))
    return Need(points, runs, more)


def _reach(variance: float, runs: int) -> float:
    """Return half of the width of the interval of a mean of runs, each with this variance."""
    return float(stats.t.ppf(1 - TAIL, runs - 1)) * math.sqrt(variance / runs)
