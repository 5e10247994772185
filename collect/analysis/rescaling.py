"""What the ratio of the response times would be with compute k times as slow, or as fast, on the same links. No I/O."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from typing import TYPE_CHECKING

import numpy as np
from scipy import optimize

from collect.analysis import phases, statistics
from collect.analysis.claims import PAPER_RATIO

if TYPE_CHECKING:
    from collections.abc import Sequence

    from collect.analysis.phases import Request
    from collect.analysis.repetitions import Repetition
    from collect.analysis.statistics import Estimate

# Compute this many times as slow: for the table, and for the line of the figure.
TABLE = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)
LINE = tuple(float(factor) for factor in np.geomspace(0.1, 100, 31))

Sample = list[tuple["Request", ...]]


@dataclass(frozen=True, slots=True)
class Rescaled:
    """The ratio of the median response times with compute ``slower`` times as slow; medians in seconds."""

    slower: float
    subject_s: float
    reference_s: float
    ratio: Estimate


@dataclass(frozen=True, slots=True)
class Rescaling:
    """The ratio over the factors of the table and of the line, and where it equals the paper's 0.75."""

    table: tuple[Rescaled, ...]
    line: tuple[Rescaled, ...]
    paper_at: tuple[float, ...]


def rescale(ours: Sequence[Repetition], theirs: Sequence[Repetition], *, paired: bool) -> Rescaling | None:
    """Return the rescaled ratios, or ``None`` when the phases of the requests are not known.

    Per repetition the response time is its network part plus ``slower`` times its compute part, and the slowest of the
    parallel requests decides. Repetitions that lack a time are left out, with their partners when ``paired``.
    """
    of_ours, of_theirs = ([phases.split(repetition.requests) for repetition in sample] for sample in (ours, theirs))
    if paired:
        both = [(a, b) for a, b in zip(of_ours, of_theirs, strict=True) if a is not None and b is not None]
        subject, reference = [a for a, _ in both], [b for _, b in both]
    else:
        subject, reference = [a for a in of_ours if a is not None], [b for b in of_theirs if b is not None]
    if not subject or not reference:
        return None
    line = tuple(_at(slower, subject, reference, paired=paired) for slower in LINE)
    table = tuple(_at(slower, subject, reference, paired=paired) for slower in TABLE)
    return Rescaling(table, line, _crossings(subject, reference))


def _at(slower: float, subject: Sample, reference: Sample, *, paired: bool) -> Rescaled:
    ours, theirs = _times(subject, slower), _times(reference, slower)
    ratio = statistics.compare("median ratio", ours, theirs, paired=paired)
    return Rescaled(slower, median(ours), median(theirs), ratio)


def _times(sample: Sample, slower: float) -> list[float]:
    return [max(request.end_s(slower) for request in requests) for requests in sample]


def _crossings(subject: Sample, reference: Sample) -> tuple[float, ...]:
    """Return the factors in the line's range at which the ratio of the medians is the paper's."""

    def above(slower: float) -> float:
        # The difference has the sign of ratio - 0.75 and needs no division.
        return median(_times(subject, slower)) - PAPER_RATIO * median(_times(reference, slower))

    signs = [(slower, above(slower)) for slower in LINE]
    neighbours = pairwise(signs)
    return tuple(optimize.brentq(above, left, right) for (left, a), (right, b) in neighbours if (a < 0) != (b < 0))
