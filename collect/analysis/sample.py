"""One metric of two scenarios, as their repetitions belong together: in pairs, in rounds of blocks, or not. No I/O."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from collect.analysis import estimators, statistics
from collect.analysis.statistics import SMALLEST_SAMPLE, Estimate

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from collect.analysis.estimators import Interval
    from collect.analysis.repetitions import Repetition
    from collect.analysis.statistics import Statistic

# Two rounds would do for Student's interval, which is then 13 times as wide as the rounds differ.
FEWEST_ROUNDS = 3


@dataclass(frozen=True, slots=True)
class Sample:
    """The values of two scenarios, in the metric's unit.

    Of pairs, equal places of ``subject`` and ``reference`` belong together, and ``rounds`` numbers from 0 the round in
    which each pair was measured: one a pair where the scenarios alternate, fewer where they were measured in blocks.
    Without ``rounds`` the two are independent and of any lengths.
    """

    subject: tuple[float, ...]
    reference: tuple[float, ...]
    rounds: tuple[int, ...] | None

    @property
    def pairs(self) -> int:
        """How many pairs there are, 0 when the two are independent."""
        return 0 if self.rounds is None else len(self.rounds)

    @property
    def units(self) -> int:
        """How many parts may be taken as independent of each other: pairs, rounds, or values of the smaller side."""
        return min(len(self.subject), len(self.reference)) if self.rounds is None else len(set(self.rounds))

    @property
    def in_blocks(self) -> bool:
        """Whether pairs share their round, so that they are not independent of each other."""
        return self.rounds is not None and self.units < self.pairs


def sample(
    ours: Sequence[Repetition],
    theirs: Sequence[Repetition],
    metric: Callable[[Repetition], float | None],
    *,
    paired: bool,
) -> Sample:
    """Return a metric of two scenarios; what lacks it is left out, with its partner when ``paired``."""
    if not paired:
        subject, reference = ([v for r in side if (v := metric(r)) is not None] for side in (ours, theirs))
        return Sample(tuple(subject), tuple(reference), None)
    numbers: dict[tuple[str, int, int], int] = {}
    rows = []
    for one, other in zip(ours, theirs, strict=True):
        a, b = metric(one), metric(other)
        if a is not None and b is not None:
            round_of = numbers.setdefault((one.base_station, one.block, other.block), len(numbers))
            rows.append((a, b, round_of))
    return Sample(tuple(a for a, _, _ in rows), tuple(b for _, b, _ in rows), tuple(number for _, _, number in rows))


def ratio(values: Sample) -> Estimate:
    """Return how many times as large the subject's values are: the typical ratio of a pair, estimated on logarithms."""
    if min(*values.subject, *values.reference) <= 0:
        return Estimate("pair ratio", None, None, None, values.pairs, "a value is zero", "")
    return _estimate("pair ratio", values, _location(values, np.log), np.exp)


def difference(values: Sample) -> Estimate:
    """Return the typical difference of a pair, in the metric's unit."""
    return _estimate("pair difference", values, _location(values, np.asarray), np.asarray)


def medians(statistic: Literal["median ratio", "median difference"], values: Sample) -> Estimate:
    """Return the ratio or the difference of the two medians."""
    return statistics.compare(statistic, values.subject, values.reference, paired=values.rounds is not None)


def spread_ratio(values: Sample) -> Estimate:
    """Return the ratio of the interquartile ranges."""
    subject, reference = np.asarray(values.subject, float), np.asarray(values.reference, float)
    if np.ptp(reference) == 0:
        reason = "all values of the reference are the same"
        return Estimate("IQR ratio", None, None, None, values.pairs, reason, "")
    groups = None
    if values.rounds is not None:
        of_unit = estimators.consecutive(values.units)
        groups = of_unit[np.asarray(values.rounds)] if values.in_blocks else of_unit
    too_few = _too_few(values)
    if too_few is not None:
        # Leaving one out may leave nothing.
        value = float(np.exp(estimators.log_iqr(subject) - estimators.log_iqr(reference)))
        return Estimate("IQR ratio", value, None, None, values.pairs, too_few, "")
    interval = estimators.spread_ratio(subject, reference, groups)
    return _estimate("IQR ratio", values, interval, np.exp, f"Harrell-Davis quartiles, jackknife over {_units(values)}")


def share_at_least(values: Sample) -> Estimate:
    """Return the probability that the subject's value is at least the reference's, from 0 to 1.

    Of pairs it is the share of pairs, of independent samples that of all combinations. Where pairs share their round
    the interval takes each round for one pair, as if its repetitions were all the same.
    """
    subject, reference = np.asarray(values.subject, float), np.asarray(values.reference, float)
    at_least = subject >= reference if values.rounds is not None else subject[:, None] >= reference
    interval = estimators.share(np.asarray(at_least.mean() * values.units), values.units)
    return _estimate("share at least", values, interval, np.asarray, f"exact binomial, {_units(values)}")


def _location(values: Sample, scale: Callable[[tuple[float, ...]], estimators.Values]) -> Interval:
    subject, reference = scale(values.subject), scale(values.reference)
    if values.rounds is None:
        return estimators.shift(subject, reference)
    differences = subject - reference
    if not values.in_blocks:
        return estimators.hodges_lehmann(differences)
    rounds = np.asarray(values.rounds)
    by_round = np.split(differences[np.argsort(rounds, kind="stable")], np.cumsum(np.bincount(rounds))[:-1])
    return estimators.mean(np.asarray([of_round.mean() for of_round in by_round]))


def _estimate(
    statistic: Statistic,
    values: Sample,
    interval: Interval,
    scale: Callable[[estimators.Values], estimators.Values],
    method: str | None = None,
) -> Estimate:
    value, low, high = (float(scale(end)) for end in interval)
    reason = _too_few(values)
    if reason is None and not np.isfinite([low, high]).all():
        reason = "without one of the repetitions all values are the same"
    if reason is not None:
        return Estimate(statistic, value, None, None, values.pairs, reason, "")
    return Estimate(statistic, value, low, high, values.pairs, None, method or _method(values))


def _too_few(values: Sample) -> str | None:
    fewest = min(len(values.subject), len(values.reference))
    if fewest < SMALLEST_SAMPLE:
        return f"{fewest} repetition{'s' * (fewest > 1)}, at least {SMALLEST_SAMPLE} required"
    if values.in_blocks and values.units < FEWEST_ROUNDS:
        return f"{values.units} round{'s' * (values.units > 1)} of blocks, at least {FEWEST_ROUNDS} required"
    return None


def _method(values: Sample) -> str:
    if values.rounds is None:
        return "Hodges-Lehmann, rank sums, samples independent"
    return f"{'mean, Student' if values.in_blocks else 'Hodges-Lehmann, signed ranks'}, {_units(values)}"


def _units(values: Sample) -> str:
    if values.rounds is None:
        return "independent samples"
    return f"{values.units} rounds of blocks" if values.in_blocks else f"{values.pairs} pairs"
