"""``python -m benchmarks.steady``: how often the first repetitions of a simulated run are called unlike the rest.

Without a beginning that is unlike the rest every such warning is false; with one it should come. The runs go through
the test of the report (`collect.analysis.steady`).
"""

from __future__ import annotations

import argparse
import sys
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.coverage import Condition
from collect.analysis.steady import steadiness

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Values = NDArray[np.float64]

SIZES = (12, 20, 50, 100)
RUNS = 2000
SEED = 6
DISTRIBUTIONS = ("lognormal", "bimodal", "heavy-tailed", "discrete")
SLOWER = 1.5
# How many times as slow a run that warms up gradually begins, and in how many repetitions that falls to its e-th part.
BEGINS, FALLS = 1.8, 3.0
# In so many of a hundred runs a comparison of a scenario with itself may be warned of.
MOST_PERCENT = 5.0


def main(arguments: list[str] | None = None) -> int:
    """Print the table; returns 1 where a comparison of a scenario with itself is warned of too often."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.steady", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--runs", type=int, default=RUNS, help=f"simulated runs of each condition ({RUNS})")
    runs = parser.parse_args(arguments).runs
    print("Runs that are warned of, %\n")
    print(f"{'':<58}" + "".join(f"{f'n = {n}':>10}" for n in SIZES))
    worst = 0.0
    for name in DISTRIBUTIONS:
        worst = max(worst, *_row(f"a comparison of a scenario with itself, {name}", runs, _comparison(name)))
    for time in (0.3, 0.5, 0.85):
        _row(f"a scenario whose neighbours correlate by {time:g}", runs, _scenario(time, np.ones))
    for first in (1, 2, 3, 5, 10):
        _row(f"the first {first} {SLOWER:g} times as slow", runs, _scenario(0, partial(_step, first)))
    _row(f"begins {BEGINS:g} times as slow, over {FALLS:g} repetitions", runs, _scenario(0, _decay))
    print(f"\na comparison of a scenario with itself is warned of in {worst:.1f} % at most; {MOST_PERCENT:g} % allowed")
    return int(worst > MOST_PERCENT)


def _row(name: str, runs: int, is_warned_of: Callable[[np.random.Generator, int], bool]) -> list[float]:
    rng = np.random.default_rng(SEED)
    percent = [100 * float(np.mean([is_warned_of(rng, n) for _ in range(runs)])) for n in SIZES]
    print(f"{name:<58}" + "".join(f"{one:>10.1f}" for one in percent), flush=True)
    return percent


def _comparison(distribution: str) -> Callable[[np.random.Generator, int], bool]:
    """Both scenarios and their ratio are tested, as in a report; a pair shares half of its variance."""
    condition = Condition(distribution, pairs=0.5, time=0)

    def is_warned_of(rng: np.random.Generator, n: int) -> bool:
        (ours,), (theirs,) = condition.draw(rng, 1, n)
        return any(_unsteady(values) for values in (ours, theirs, ours / theirs))

    return is_warned_of


def _scenario(time: float, slower: Callable[[int], Values]) -> Callable[[np.random.Generator, int], bool]:
    condition = Condition("lognormal", pairs=0, time=time, own_drift=True)
    return lambda rng, n: _unsteady(condition.draw(rng, 1, n)[0][0] * slower(n))


def _unsteady(values: Values) -> bool:
    seen = steadiness(values.tolist())
    return seen is not None and not seen.steady


def _step(first: int, n: int) -> Values:
    return np.where(np.arange(n) < first, SLOWER, 1.0)


def _decay(n: int) -> Values:
    return np.asarray(1 + (BEGINS - 1) * np.exp(-np.arange(n) / FALLS))


if __name__ == "__main__":
    sys.exit(main())
