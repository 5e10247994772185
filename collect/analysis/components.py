"""How much of a variation lies between runs, between the blocks of a run, and between repetitions. No I/O."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

from collect.analysis.estimators import TAIL

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping, Sequence

    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Components:
    """Variances of logarithms: of runs, of the blocks of a run, of the repetitions of a block.

    ``block`` is ``None`` where each block is one repetition, so that the two cannot be told apart: ``repetition`` is
    then both. ``run_low`` and ``run_high`` are the 95 % interval of ``run``. ``repetitions_per_block`` is the mean.
    """

    runs: int
    run: float
    run_low: float
    run_high: float
    block: float | None
    repetition: float
    repetitions_per_block: float

    @property
    def within_run(self) -> float:
        """The variance of a run's mean times its repetitions: what more repetitions of a run reduce."""
        return (self.block or 0.0) * self.repetitions_per_block + self.repetition


def components(values: Mapping[str, Sequence[tuple[float, Hashable]]]) -> Components | None:
    """Return the variance components of values, by run each value with its block; ``None`` below two runs of two.

    The estimates are those of the nested analysis of variance for unequal numbers, mean squares set equal to their
    expectations (Searle, Casella and McCulloch, Variance Components, chapter 5); one below zero is
    zero, as a variance is. The interval of the runs' is Williams's (Biometrika 49 (1962) 278), which is at least 95 %
    for normal values in equal numbers. Response times have long tails: take it for the size of a variation.
    """
    runs = [[np.asarray(block) for block in _blocks(of_run)] for of_run in values.values()]
    blocks = [block for run in runs for block in run]
    n, count = sum(map(len, blocks)), len(runs)
    has_blocks = any(len(run) > 1 for run in runs) and n > len(blocks)
    parts = blocks if has_blocks else [np.concatenate(run) for run in runs]
    if count < 2 or n <= len(parts):  # noqa: PLR2004
        return None
    repetition = _squares(parts) / (n - len(parts))
    sizes = [sum(map(len, run)) for run in runs]
    grand = np.concatenate(parts).mean()
    between = sum(size * (np.concatenate(run).mean() - grand) ** 2 for size, run in zip(sizes, runs, strict=True))
    mean_square = float(between) / (count - 1)
    per_run = (n - sum(size**2 for size in sizes) / n) / (count - 1)
    block, below, freedom, expected = None, repetition, n - len(parts), repetition
    if has_blocks:
        freedom = len(blocks) - count
        below = sum(_between_blocks(run) for run in runs) / freedom
        alike = sum(sum(len(b) ** 2 for b in run) / size for size, run in zip(sizes, runs, strict=True))
        block = max(0.0, (below - repetition) * freedom / (n - alike))
        expected = repetition + block * (alike - sum(len(b) ** 2 for b in blocks) / n) / (count - 1)
    low, high = _interval(mean_square, count - 1, below, freedom)
    return Components(
        runs=count,
        run=max(0.0, (mean_square - expected) / per_run),
        run_low=low / per_run,
        run_high=high / per_run,
        block=block,
        repetition=float(repetition),
        repetitions_per_block=n / len(parts) if has_blocks else 1.0,
    )


def _blocks(values: Sequence[tuple[float, Hashable]]) -> list[list[float]]:
    by_block: dict[Hashable, list[float]] = {}
    for value, block in values:
        by_block.setdefault(block, []).append(value)
    return list(by_block.values())


def _squares(parts: Sequence[NDArray[np.float64]]) -> float:
    """Return the sum of squares within parts."""
    return float(sum(((part - part.mean()) ** 2).sum() for part in parts))


def _between_blocks(run: Sequence[NDArray[np.float64]]) -> float:
    middle = np.concatenate(run).mean()
    return float(sum(len(block) * (block.mean() - middle) ** 2 for block in run))


def _interval(mean_square: float, freedom: int, below: float, freedom_below: int) -> tuple[float, float]:
    """Return the ends of the interval of a component, times what its mean square counts it."""
    ends = []
    for share in (1 - TAIL, TAIL):
        reach = below * stats.f.ppf(share, freedom, freedom_below)
        ends.append(max(0.0, float(freedom * (mean_square - reach) / stats.chi2.ppf(share, freedom))))
    return ends[0], ends[1]
