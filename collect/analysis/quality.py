"""How good replies are, beside how fast they came: each measure's values, by scenario and compared. No I/O.

The study's test accuracy is one measure; others are those that a scenario reads from the replies of its function. A
measure is data: its name, its unit, and which of two values is the better one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from collect.analysis import sample, statistics, wording

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from collect.analysis.repetitions import Repetition
    from collect.analysis.statistics import Estimate, Summary
    from collect.records import Better, ModelRecord

# How many measures are kept that records name: more than the scenarios of any run have.
MEASURES_KEPT = 1024
# How many significant digits the largest value has in tables; one text of 630 is 0.0016 of an accuracy.
DIGITS, MOST_PLACES = 4, 9


@dataclass(frozen=True, slots=True)
class Measure:
    """What values are of: ``name`` and ``unit`` as people call them, ``better`` which of two is the better one."""

    name: str
    unit: str
    better: Better

    @property
    def label(self) -> str:
        """The name with its unit."""
        return f"{self.name} ({self.unit})" if self.unit else self.name


# What the base station's final model scores on the test texts, in the workload of the study.
TEST_ACCURACY = Measure("test accuracy", "share of texts", "higher")


@dataclass(frozen=True, slots=True)
class Scored:
    """A scenario's values by a measure; ``places`` after the point show them in tables."""

    measure: Measure
    places: int
    summary: Summary


@dataclass(frozen=True, slots=True)
class Compared:
    """A scenario's values by a measure against the reference's; ``places`` after the point show what differs.

    ``pair_difference`` is the estimate of pairs that headline and claims use, the others are of medians and spreads.
    """

    measure: Measure
    places: int
    pair_difference: Estimate
    difference: Estimate
    ratio: Estimate
    iqr_ratio: Estimate


@lru_cache(MEASURES_KEPT)
def _measure(name: str, unit: str, better: Better) -> Measure:
    return Measure(name, unit, better)


def of(model: ModelRecord) -> tuple[tuple[Measure, float], ...]:
    """Return the values of a repetition by its measures."""
    own = tuple((_measure(one.measure, one.unit, one.better), one.value) for one in model.qualities)
    return own if model.accuracy_test is None else ((TEST_ACCURACY, model.accuracy_test), *own)


def measures(repetitions: Sequence[Repetition]) -> list[Measure]:
    """Return the measures of which any repetition has a value, in the order in which they are first on record."""
    return list(dict.fromkeys(measure for repetition in repetitions for measure, _ in repetition.qualities))


def scored(repetitions: Sequence[Repetition]) -> tuple[Scored, ...]:
    """Return a scenario's values by each of its measures."""
    values = {m: [v for r in repetitions if (v := r.quality(m)) is not None] for m in measures(repetitions)}
    return tuple(Scored(m, places(of_measure), statistics.summarise(of_measure)) for m, of_measure in values.items())


def compared(ours: Sequence[Repetition], theirs: Sequence[Repetition], *, paired: bool) -> tuple[Compared, ...]:
    """Return the comparison by each measure that both have."""
    of_theirs = measures(theirs)
    both = [measure for measure in measures(ours) if measure in of_theirs]
    samples = {measure: sample.sample(ours, theirs, _by(measure), paired=paired) for measure in both}
    return tuple(
        Compared(
            measure,
            places((*values.subject, *values.reference)),
            sample.difference(values),
            sample.medians("median difference", values),
            sample.medians("median ratio", values),
            sample.spread_ratio(values),
        )
        for measure, values in samples.items()
        if values.subject and values.reference
    )


def _by(measure: Measure) -> Callable[[Repetition], float | None]:
    return lambda repetition: repetition.quality(measure)


def places(values: Sequence[float]) -> int:
    """Return how many places after the point the values have in tables."""
    largest = max(map(abs, values), default=0.0)
    return DIGITS if largest == 0 else min(MOST_PLACES, max(0, DIGITS - math.ceil(math.log10(largest))))


def headline(one: Compared, subject: Scored, reference: Scored) -> str:
    """Return what the headline says of a measure: both medians, and whether their difference is more than chance."""
    medians = f"{wording.number(subject.summary.median)} against {wording.number(reference.summary.median)}"
    return f"the median {one.measure.name} was {medians}{_judged(one)}"


def _judged(one: Compared) -> str:
    difference = one.pair_difference
    if difference.low is None or difference.high is None:
        return ""
    if difference.low <= 0 <= difference.high:
        word = "no difference is shown"
    else:
        word = "better" if (difference.low > 0) == (one.measure.better == "higher") else "worse"
    span = wording.span(difference.low, difference.high, places=one.places, signed=True)
    return f" ({word}; 95 % interval of the typical difference: {span})"
