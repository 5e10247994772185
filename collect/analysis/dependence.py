"""Whether the repetitions of a scenario depend on each other, which makes their intervals too narrow. No I/O."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

from collect.analysis.statistics import SMALLEST_SAMPLE

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from numpy.typing import NDArray

# Each run is tested in several places: 1 %, so that a sound run is rarely warned of.
SIGNIFICANT = 0.01


@dataclass(frozen=True, slots=True)
class Dependence:
    """How far values, in the order in which they were measured, depend on their block and on the one before.

    ``icc`` is the intraclass correlation, ``blocks_p`` the p-value of a test of equal blocks; both ``None`` where a
    block is one repetition. ``lag_1`` is the autocorrelation of neighbours with its p-value, ``None`` below six values.
    ``too_narrow`` is by what factor an interval that takes the values for independent is too narrow, 1 unless one of
    the tests is significant.
    """

    blocks: int
    icc: float | None
    blocks_p: float | None
    lag_1: float | None
    lag_1_p: float | None
    too_narrow: float


def dependence(values: Sequence[float], blocks: Sequence[Hashable]) -> Dependence:
    """Return how far values depend on each other; ``blocks`` names the block of each.

    The intraclass correlation is that of a one-way analysis of variance (Shrout and Fleiss, Psychological Bulletin 86
    (1979) 420, ICC(1)), the test of blocks Kruskal and Wallis's; the autocorrelation is that of the ranks, so that one
    slow repetition does not hide it, against its mean -1 / n and variance 1 / n without dependence, upwards only.
    """
    by_block: dict[Hashable, list[float]] = {}
    for value, block in zip(values, blocks, strict=True):
        by_block.setdefault(block, []).append(value)
    groups = [np.asarray(of_block) for of_block in by_block.values()]
    icc, blocks_p, size = None, None, 1.0
    if 1 < len(groups) < len(values) and np.ptp(values) > 0:
        icc, size = _icc(groups)
        blocks_p = float(stats.kruskal(*groups).pvalue)
    lag_1, lag_1_p = _lag_1(np.asarray(values, float))
    wider = 1.0
    if icc is not None and blocks_p is not None and blocks_p < SIGNIFICANT:
        wider = max(wider, 1 + (size - 1) * icc)
    if lag_1 is not None and lag_1_p is not None and lag_1_p < SIGNIFICANT:
        wider = max(wider, (1 + lag_1) / (1 - lag_1))
    return Dependence(len(groups), icc, blocks_p, lag_1, lag_1_p, float(np.sqrt(wider)))


def _icc(groups: Sequence[NDArray[np.float64]]) -> tuple[float, float]:
    """Return the intraclass correlation, and the mean size of a block as the analysis of variance weighs it."""
    sizes = np.asarray([len(group) for group in groups])
    n, count = sizes.sum(), len(groups)
    size = float((n - (sizes**2).sum() / n) / (count - 1))
    grand = np.concatenate(groups).mean()
    between = sum(len(group) * (group.mean() - grand) ** 2 for group in groups) / (count - 1)
    within = sum(((group - group.mean()) ** 2).sum() for group in groups) / (n - count)
    return float((between - within) / (between + (size - 1) * within)), size


def _lag_1(values: NDArray[np.float64]) -> tuple[float | None, float | None]:
    n = len(values)
    if n < SMALLEST_SAMPLE or np.ptp(values) == 0:
        return None, None
    centred = stats.rankdata(values) - (n + 1) / 2
    correlation = float((centred[1:] * centred[:-1]).sum() / (centred**2).sum())
    return correlation, float(stats.norm.sf((correlation + 1 / n) * np.sqrt(n)))
