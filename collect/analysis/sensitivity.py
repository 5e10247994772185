"""What the comparison would be if failed repetitions counted as infinitely long, instead of not at all. No I/O."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

from collect.analysis import wording
from collect.analysis.statistics import median_interval

if TYPE_CHECKING:
    from collections.abc import Sequence

# Above this share of failed repetitions a comparison rests on those that happened to finish, and claims are undecided.
FAILED_PERCENT = 10.0


@dataclass(frozen=True, slots=True)
class Side:
    """A scenario's response times in seconds with its failures; ``None`` lies beyond every time that was measured."""

    name: str
    repetitions: int
    failed: int
    median_s: float | None
    low_s: float | None
    high_s: float | None

    @property
    def failed_percent(self) -> float:
        """The share of failures, in percent."""
        return 100 * self.failed / self.repetitions

    @property
    def words(self) -> str:
        """The median and what it rests on."""
        middle = "infinite" if self.median_s is None else f"{wording.number(self.median_s)} s"
        return f"{middle} for {self.name} ({self.failed} of {self.repetitions} failed)"


@dataclass(frozen=True, slots=True)
class Sensitivity:
    """Both sides with all their repetitions; ``ratio`` is that of the medians, ``None`` unless both are finite."""

    subject: Side
    reference: Side
    ratio: float | None
    sentence: str


def side(name: str, finished_s: Sequence[float], failed: int) -> Side:
    """Return a scenario with its failures as infinitely long; the interval is that of order statistics.

    Raises:
        ValueError: there is neither a finished nor a failed repetition.
    """
    values = [*finished_s, *[math.inf] * failed]
    interval = median_interval(values)
    return Side(name, len(values), failed, _finite(median(values)), _finite(interval.low), _finite(interval.high))


def sensitivity(subject: Side, reference: Side) -> Sensitivity | None:
    """Return the comparison with failures, or ``None`` where there are none."""
    if not subject.failed and not reference.failed:
        return None
    ours, theirs = subject.median_s, reference.median_s
    ratio = ours / theirs if ours is not None and theirs else None
    sentence = f"With failed repetitions as infinitely long, the median is {subject.words} and {reference.words}"
    if ratio is not None:
        sentence += f": a ratio of {ratio:.2f}"
    return Sensitivity(subject, reference, ratio, sentence + ".")


def _finite(seconds: float | None) -> float | None:
    return seconds if seconds is not None and math.isfinite(seconds) else None
