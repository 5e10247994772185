"""``python -m benchmarks.coverage``: how often the report's 95 % intervals hold the truth, on simulated runs.

A scenario is compared with itself, so that every difference found is an error, over distributions of the response time,
correlation of pairs (their shared split) and correlation in time (of what a pair does not share): where scenarios
alternate that of neighbours, a drift that both scenarios meet; in blocks of five that within a block. The runs go
through the estimators of the report (`collect.analysis.estimators`), thousands at once.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from functools import cache
from itertools import product
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

from collect.analysis import estimators
from collect.analysis.claims import MUCH_LARGER
from collect.analysis.dependence import dependence
from collect.analysis.statistics import median_interval

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    Values = NDArray[np.float64]

SIZES = (6, 10, 20, 50)
BLOCK = 5
SIZES_IN_BLOCKS = (20, 50)  # fewer make fewer than three rounds
PAIR_CORRELATIONS = (0.0, 0.5, 0.9)
TIME_CORRELATIONS = (0.0, 0.5, 0.85)
RUNS = 20_000
AT_ONCE = 2000  # runs, so that all averages of two of 50 pairs take 20 MB
WARNED_RUNS = 500
# A comparison of a scenario with itself may find a difference in so many of a hundred runs.
MOST_PERCENT = 6.0
# Sigmas: beyond it the logarithms of a heavy tail are too large for a double.
MOST = 4.5
# Correlation in time that does not meet both scenarios, which pairs cannot cancel.
DRIFT = 0.5
SEED = 6
# Logarithms of the bimodal distribution's times: seven runs in ten are at its first mode, 1, the others at 1.6.
MODES = np.linspace(-0.5, 1.0, 6001)
MODES_BELOW = 0.7 * stats.norm.cdf(MODES / 0.06) + 0.3 * stats.norm.cdf((MODES - np.log(1.6)) / 0.06)

# By name the response time, in seconds, of which a share is shorter.
DISTRIBUTIONS: dict[str, Callable[[Values], Values]] = {
    "lognormal": lambda shares: np.exp(0.2 * stats.norm.ppf(shares)),
    "bimodal": lambda shares: np.exp(np.interp(shares, MODES_BELOW, MODES)),
    "heavy-tailed": lambda shares: np.exp(0.1 * stats.t.ppf(shares, 2)),
    "discrete": lambda shares: np.asarray(np.round(np.exp(0.2 * stats.norm.ppf(shares)), 1), dtype=np.float64),
}


@dataclass(frozen=True, slots=True)
class Condition:
    """What a simulated run is drawn from; correlations from 0 to 1."""

    distribution: str
    pairs: float
    time: float
    in_blocks: bool = False
    own_drift: bool = False

    def draw(self, rng: np.random.Generator, runs: int, n: int) -> tuple[Values, Values]:
        """Return the response times of both scenarios, each of shape (runs, n)."""
        split = rng.standard_normal((runs, n))
        quantile = DISTRIBUTIONS[self.distribution]
        ours, theirs = (
            quantile(stats.norm.cdf((np.sqrt(self.pairs) * split + np.sqrt(1 - self.pairs) * own).clip(-MOST, MOST)))
            for own in self._own(rng, runs, n)
        )
        return ours, theirs

    def _own(self, rng: np.random.Generator, runs: int, n: int) -> tuple[Values, Values]:
        if self.in_blocks:
            blocks = rng.standard_normal((2, runs, n // BLOCK)).repeat(BLOCK, axis=-1)
            both = np.sqrt(self.time) * blocks + np.sqrt(1 - self.time) * rng.standard_normal(blocks.shape)
            return both[0], both[1]
        if self.own_drift:
            return self._drift(rng, runs, n), self._drift(rng, runs, n)
        # The order within each pair is drawn.
        measured = rng.permuted(self._drift(rng, runs, 2 * n).reshape(runs, n, 2), axis=-1)
        return measured[..., 0], measured[..., 1]

    def _drift(self, rng: np.random.Generator, runs: int, length: int) -> Values:
        """Return normal deviates that each correlate with the one before."""
        values = rng.standard_normal((runs, length))
        for place in range(1, length):
            values[:, place] = self.time * values[:, place - 1] + np.sqrt(1 - self.time**2) * values[:, place]
        return values


def conditions(*, in_blocks: bool = False, own_drift: bool = False) -> Iterator[Condition]:
    """Yield every distribution with every correlation."""
    for distribution, pairs, time in product(DISTRIBUTIONS, PAIR_CORRELATIONS, TIME_CORRELATIONS):
        yield Condition(distribution, pairs, time, in_blocks, own_drift)


@dataclass(frozen=True, slots=True)
class Measure:
    """An interval of the report and what it should hold; ``chosen`` are the conditions under which it is tried."""

    name: str
    estimate: Callable[[Values, Values, Condition], estimators.Interval]
    truth: Callable[[Condition], float]
    chosen: Callable[[Condition], bool] = lambda _: True

    def held(self, condition: Condition, n: int, runs: int) -> float:
        """Return in how many of a hundred runs the interval holds the truth, of those that have one."""
        low, high = self._ends(condition, n, runs)
        truth = self.truth(condition)
        return 100 * float(np.mean((low <= truth) & (truth <= high)))

    def above(self, condition: Condition, n: int, runs: int) -> float:
        """Return in how many of a hundred runs the whole interval lies above the truth."""
        return 100 * float(np.mean(self._ends(condition, n, runs)[0] > self.truth(condition)))

    def _ends(self, condition: Condition, n: int, runs: int) -> tuple[Values, Values]:
        rng = np.random.default_rng(SEED)
        size = min(AT_ONCE, runs)
        intervals = [self.estimate(*condition.draw(rng, size, n), condition)[1:] for _ in range(runs // size)]
        low, high = (np.concatenate(ends) for ends in zip(*intervals, strict=True))
        exists = np.isfinite(low) & np.isfinite(high)
        return low[exists], high[exists]


def ratio(ours: Values, theirs: Values, condition: Condition) -> estimators.Interval:
    """Return the logarithm of the typical ratio, as the report estimates it for the order of measurement."""
    ratios = np.log(ours / theirs)
    if condition.in_blocks:
        return estimators.mean(ratios.reshape(len(ratios), -1, BLOCK).mean(axis=-1))
    return estimators.hodges_lehmann(ratios)


def spread(ours: Values, theirs: Values, condition: Condition) -> estimators.Interval:
    """Return the logarithm of the ratio of the interquartile ranges."""
    n = ours.shape[-1]
    groups = np.arange(n) // BLOCK if condition.in_blocks else estimators.consecutive(n)
    return estimators.spread_ratio(ours, theirs, groups)


def share(ours: Values, theirs: Values, condition: Condition) -> estimators.Interval:
    """Return the probability of as long or longer."""
    units = ours.shape[-1] // (BLOCK if condition.in_blocks else 1)
    return estimators.share((ours >= theirs).mean(axis=-1) * units, units)


def median(times: Values, _: Values, __: Condition) -> estimators.Interval:
    """Return a scenario's own median with its interval from order statistics."""
    ranks = median_interval(list(range(times.shape[-1])))
    ordered = np.sort(times, axis=-1)
    return np.median(times, axis=-1), ordered[..., ranks.low_rank - 1], ordered[..., ranks.high_rank - 1]


@cache
def true_ratio_of_twice(condition: Condition) -> float:
    """Return what `ratio` estimates for a subject of twice the log spread, from many pairs."""
    ours, theirs = (times.ravel() for times in condition.draw(np.random.default_rng(SEED + 1), 5000, BLOCK * 4))
    ratios = np.log(ours**2 / theirs)
    return float(ratios.mean() if condition.in_blocks else estimators.hodges_lehmann(ratios)[0])


@cache
def true_share(condition: Condition) -> float:
    """Return the probability of as long or longer, from many pairs."""
    ours, theirs = condition.draw(np.random.default_rng(SEED + 1), 10_000, BLOCK * 4)
    return float((ours >= theirs).mean())


def true_spread_of_twice(condition: Condition) -> float:
    """Return the logarithm of the ratio of the interquartile ranges for a subject of twice the log spread."""
    low, high = DISTRIBUTIONS[condition.distribution](np.array([0.25, 0.75]))
    return float(np.log((high**2 - low**2) / (high - low)))


def nothing(_: Condition) -> float:
    """Return the logarithm of the ratio of a scenario to itself."""
    return 0.0


SAME = Measure("typical ratio", ratio, nothing)
MEASURES = (
    Measure(
        "typical ratio, twice the log spread",
        lambda ours, theirs, condition: ratio(ours**2, theirs, condition),
        true_ratio_of_twice,
        lambda condition: condition.time == 0 or condition.in_blocks,
    ),
    Measure("ratio of IQRs", spread, nothing),
    Measure(
        "ratio of IQRs, twice the log spread",
        lambda ours, theirs, condition: spread(ours**2, theirs, condition),
        true_spread_of_twice,
        lambda condition: condition.distribution != "discrete",  # its quartiles jump from step to step
    ),
    Measure("P(as long or longer)", share, true_share),
)
# The interval moves with the ratio, so at a true 1.9 it lies above 2 as often as, at 1, above 2 / 1.9.
CLAIM = Measure("", spread, lambda _: float(np.log(MUCH_LARGER / 1.9)))
MEDIAN = Measure("", median, lambda condition: float(DISTRIBUTIONS[condition.distribution](np.array(0.5))))


def warned(condition: Condition, n: int, _: int) -> float:
    """Return in how many of a hundred runs the report warns that the interval of the comparison is too narrow."""
    ours, theirs = condition.draw(np.random.default_rng(SEED), WARNED_RUNS, n)
    return 100 * float(np.mean([dependence(run.tolist(), range(n)).too_narrow > 1 for run in ours - theirs]))


def main(arguments: list[str] | None = None) -> int:
    """Print the tables; returns 1 where a scenario is found to differ from itself too often."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.coverage", description=(__doc__ or "").split("\n")[0])
    parser.add_argument(
        "--runs",
        type=int,
        default=RUNS,
        help=f"simulated runs of each condition ({RUNS}); a tenth for the other tables",
    )
    runs = parser.parse_args(arguments).runs
    worst = _same(runs)
    _others(max(runs // 10, 1))
    print(f"\na scenario is found to differ from itself in {worst:.1f} % at most; {MOST_PERCENT:g} % allowed")
    return int(worst > MOST_PERCENT)


def _same(runs: int) -> float:
    sizes = [*(f"n = {n}" for n in SIZES), *(f"blocks, {n}" for n in SIZES_IN_BLOCKS)]
    print("A scenario compared with itself is found different, % of runs\n")
    print(f"{'distribution':<14}{'pairs':>6}{'time':>6}" + "".join(f"{size:>12}" for size in sizes))
    worst = 0.0
    for one, other in zip(conditions(), conditions(in_blocks=True), strict=True):
        coverages = [SAME.held(one, n, runs) for n in SIZES] + [SAME.held(other, n, runs) for n in SIZES_IN_BLOCKS]
        worst = max(worst, 100 - min(coverages))
        row = f"{one.distribution:<14}{one.pairs:>6}{one.time:>6}"
        print(row + "".join(f"{100 - coverage:>12.1f}" for coverage in coverages), flush=True)
    return worst


def _others(runs: int) -> None:
    print("\nThe other intervals hold the truth, % of runs, least to most over the conditions\n")
    print(f"{'':<52}" + "".join(f"{f'n = {n}':>16}" for n in SIZES))
    alternating, blocks = list(conditions()), list(conditions(in_blocks=True))
    for where, among, sizes in (("", alternating, SIZES), (", blocks", blocks, SIZES_IN_BLOCKS)):
        for measure in MEASURES:
            chosen = [condition for condition in among if measure.chosen(condition)]
            _row(measure.name + where, sizes, chosen, measure.held, runs)
    for time in TIME_CORRELATIONS:
        chosen = [condition for condition in alternating if condition.time == time and condition.pairs == 0]
        _row(f"median, correlation in time {time:g}", SIZES, chosen, MEDIAN.held, runs)
    drifting = [c for c in conditions(own_drift=True) if c.time == DRIFT]
    _row(f"typical ratio, each scenario's own drift of {DRIFT:g}", SIZES, drifting, SAME.held, runs)
    print("\nVerdicts and warnings, % of runs, least to most over the conditions\n")
    for where, among, sizes in (("", alternating, SIZES), (", blocks", blocks, SIZES_IN_BLOCKS)):
        _row(f'"spread much more" holds at a true 1.9{where}', sizes, among, CLAIM.above, runs)
    _row("warned without a drift", SIZES, [c for c in alternating if c.time == 0], warned, runs)
    _row(f"warned with each scenario's own drift of {DRIFT:g}", SIZES, drifting, warned, runs)


def _row(
    name: str,
    sizes: tuple[int, ...],
    chosen: list[Condition],
    percent: Callable[[Condition, int, int], float],
    runs: int,
) -> None:
    texts = dict.fromkeys(SIZES, "-")
    for n in sizes:
        values = [percent(condition, n, runs) for condition in chosen]
        texts[n] = f"{min(values):.1f} to {max(values):.1f}"
    print(f"{name:<52}" + "".join(f"{text:>16}" for text in texts.values()), flush=True)


if __name__ == "__main__":
    sys.exit(main())
