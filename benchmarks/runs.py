"""``python -m benchmarks.runs``: how often the intervals over several runs hold the truth, on simulated runs.

Runs differ by a normal deviate, and so do the repetitions of each, on the logarithm of the ratio. The intervals are
those of ``collect compare`` (`collect.analysis.between_runs`).
"""

from __future__ import annotations

import argparse
import sys

import numpy as np

from collect.analysis.between_runs import hierarchical_bootstrap, student

RUNS = (2, 3, 4, 5, 10, 20)
REPETITIONS = 20
# Standard deviations between runs, in those between repetitions; 0.22 is what 20 repetitions have as their mean's.
BETWEEN = (0.0, 0.2, 0.5, 2.0)
SIMULATED = 1000
# Of an interval that is drawn a thousand times over; a report draws more.
RESAMPLES = 999
SEED = 6


def main(arguments: list[str] | None = None) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.runs", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--simulated", type=int, default=SIMULATED, help=f"comparisons of each condition ({SIMULATED})")
    simulated = parser.parse_args(arguments).simulated
    print("Intervals over several runs hold the truth, % of comparisons; in brackets the median width\n")
    print(f"{'runs':>4}{'between runs':>14}{'Student':>16}{'bootstrap':>16}")
    for runs in RUNS:
        for between in BETWEEN:
            cells = [f"{held:.1f} ({width:.2f})" for held, width in compared(runs, between, simulated)]
            print(f"{runs:>4}{between:>14}" + "".join(f"{cell:>16}" for cell in cells), flush=True)
    return 0


def compared(runs: int, between: float, simulated: int) -> list[tuple[float, float]]:
    """Return of both intervals, Student's first, in how many of a hundred they hold the truth, and their width."""
    rng = np.random.default_rng(SEED)
    shape = (simulated, runs)
    drawn = between * rng.standard_normal((*shape, 1)) + rng.standard_normal((*shape, REPETITIONS))
    _, low, high = student(drawn.mean(axis=-1))
    of_bootstrap = [
        hierarchical_bootstrap(list(one), in_rounds=[True] * runs, seed=seed, resamples=RESAMPLES)
        for seed, one in enumerate(drawn)
    ]
    intervals = (np.stack([low, high]), np.transpose(of_bootstrap))
    return [(100 * float(np.mean((a <= 0) & (b >= 0))), float(np.median(b - a))) for a, b in intervals]


if __name__ == "__main__":
    sys.exit(main())
