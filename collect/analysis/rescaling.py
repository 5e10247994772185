"""What the ratio of the response times would be with compute k times as slow, or as fast, on the same links. No I/O."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from collect.analysis import crossing, phases, sample
from collect.analysis.claims import PAPER_RATIO
from collect.analysis.sample import Sample

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from collect.analysis.phases import Request
    from collect.analysis.repetitions import Repetition
    from collect.analysis.statistics import Estimate

    Values = NDArray[np.float64]
    Matrix = tuple[tuple[float | None, ...], ...]

T = TypeVar("T")

# Compute this many times as slow: for the table, for the line of the figure, for both sides apart, and where the
# paper's ratio is looked for.
TABLE = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)
LINE = tuple(float(factor) for factor in np.geomspace(0.1, 100, 31))
APART = tuple(float(factor) for factor in np.geomspace(0.1, 100, 13))
SEARCH = tuple(float(factor) for factor in np.geomspace(1e-3, 1e4, 71))
# So many repetitions of a side give the ratio to far less than its change with k; more would only take longer.
MOST_REPETITIONS = 300


@dataclass(frozen=True, slots=True)
class Rescaled:
    """The typical ratio of the response times with compute ``slower`` times as slow on both sides.

    The medians are in seconds. Of the limit for infinitely slow compute ``slower`` and the medians are ``None``.
    """

    slower: float | None
    subject_s: float | None
    reference_s: float | None
    ratio: Estimate


@dataclass(frozen=True, slots=True)
class Crossing:
    """Where the ratio is the paper's 0.75, and from where to where its interval contains 0.75.

    ``slower`` is ``None`` where only the interval contains it. ``low`` is 0 and ``high`` is ``None`` where there is no
    end on that side; both are ``None`` where the ratio has no interval (``has_interval``).
    """

    slower: float | None
    low: float | None
    high: float | None
    has_interval: bool


@dataclass(frozen=True, slots=True)
class Apart:
    """The ratio with the compute of either side slowed by itself: rows are the subject's k, columns the reference's.

    ``low`` and ``high`` are the ends of the 95 % interval at each point; ``None`` where there is none.
    """

    slower: tuple[float, ...]
    ratio: Matrix
    low: Matrix
    high: Matrix


@dataclass(frozen=True, slots=True)
class Rescaling:
    """The ratio over the factors of the table and of the line, its limits, and where it equals the paper's 0.75.

    ``at_zero`` is the limit for k to 0, the network alone; ``at_infinity`` that for k to infinity, compute alone.
    ``crossings`` is ``None`` where the comparison is not the way round that the paper's is. ``used`` of
    ``repetitions`` of a side were taken, evenly spread over the run.
    """

    table: tuple[Rescaled, ...]
    line: tuple[Rescaled, ...]
    at_zero: Rescaled
    at_infinity: Rescaled
    crossings: tuple[Crossing, ...] | None
    apart: Apart
    used: int
    repetitions: int


@dataclass(frozen=True, slots=True)
class _Side:
    """The parts of each repetition's requests in seconds: a row a repetition, as many columns as it has requests."""

    network_s: Values
    compute_s: Values

    def times(self, slower: float) -> tuple[float, ...]:
        """Return the response times: the slowest of the parallel requests decides."""
        return tuple((self.network_s + slower * self.compute_s).max(axis=1).tolist())

    def compute_alone(self) -> tuple[float, ...]:
        """Return what the response times are proportional to where the network takes no time against compute."""
        return tuple(self.compute_s.max(axis=1).tolist())


@dataclass(frozen=True, slots=True)
class _Both:
    """Both sides of a comparison, and which of their repetitions belong together, as `Sample` has it."""

    subject: _Side
    reference: _Side
    rounds: tuple[int, ...] | None

    def ratio(self, of_subject: float, of_reference: float) -> Estimate:
        """Return the typical ratio with compute so many times as slow on each side."""
        return sample.ratio(Sample(self.subject.times(of_subject), self.reference.times(of_reference), self.rounds))

    def at(self, slower: float) -> Rescaled:
        """Return the ratio, with the medians, with compute so many times as slow on both sides."""
        ours, theirs = (float(np.median(side.times(slower))) for side in (self.subject, self.reference))
        return Rescaled(slower, ours, theirs, self.ratio(slower, slower))

    def at_infinity(self) -> Rescaled:
        """Return the limit of the ratio where compute takes all of the time."""
        alone = Sample(self.subject.compute_alone(), self.reference.compute_alone(), self.rounds)
        return Rescaled(None, None, None, sample.ratio(alone))


def rescale(
    ours: Sequence[Repetition], theirs: Sequence[Repetition], *, paired: bool, papers: bool = True
) -> Rescaling | None:
    """Return the rescaled ratios, or ``None`` when the phases of the requests are not known.

    Per repetition the response time is its network part plus k times its compute part, and the slowest of the parallel
    requests decides. The ratio is the one that headline and claims use (`sample.ratio`), so at k = 1 it is the run's.
    Repetitions that lack a time are left out, with their partners when ``paired``. ``papers`` tells whether the paper's
    ratio is looked for.
    """
    some = [spread(side) for side in (ours, theirs)]
    parts = [[phases.split(repetition.requests) for repetition in side] for side in some]
    if paired:
        whole = [place for place, both in enumerate(zip(*parts, strict=True)) if None not in both]
        kept = [whole, whole]
    else:
        kept = [[place for place, part in enumerate(side) if part is not None] for side in parts]
    if not all(kept):
        return None
    subject, reference = ([one[place] for place in places] for one, places in zip(some, kept, strict=True))
    rounds = sample.sample(subject, reference, lambda r: r.response_s, paired=paired).rounds
    sides = [
        _side([part for place in places if (part := side[place])]) for side, places in zip(parts, kept, strict=True)
    ]
    both = _Both(sides[0], sides[1], rounds)
    return Rescaling(
        table=tuple(both.at(slower) for slower in TABLE),
        line=tuple(both.at(slower) for slower in LINE),
        at_zero=both.at(0.0),
        at_infinity=both.at_infinity(),
        crossings=_crossings(both) if papers else None,
        apart=_apart(both),
        used=len(some[0]),
        repetitions=len(ours),
    )


def spread(repetitions: Sequence[T]) -> list[T]:
    """Return at most so many repetitions, evenly spread; of pairs the same places on both sides."""
    count = len(repetitions)
    if count <= MOST_REPETITIONS:
        return list(repetitions)
    return [repetitions[place * count // MOST_REPETITIONS] for place in range(MOST_REPETITIONS)]


def _side(repetitions: Sequence[tuple[Request, ...]]) -> _Side:
    most = max(map(len, repetitions))
    # A request that is not there comes back before any other.
    network, compute = np.full((len(repetitions), most), -np.inf), np.zeros((len(repetitions), most))
    for row, requests in enumerate(repetitions):
        network[row, : len(requests)] = [request.start_s + request.network_s for request in requests]
        compute[row, : len(requests)] = [request.compute_s for request in requests]
    return _Side(network, compute)


def _apart(both: _Both) -> Apart:
    ratios = [[both.ratio(of_subject, of_reference) for of_reference in APART] for of_subject in APART]
    return Apart(
        slower=APART,
        ratio=tuple(tuple(ratio.value for ratio in row) for row in ratios),
        low=tuple(tuple(ratio.low for ratio in row) for row in ratios),
        high=tuple(tuple(ratio.high for ratio in row) for row in ratios),
    )


def _crossings(both: _Both) -> tuple[Crossing, ...]:
    """Return where the ratio is the paper's, by k, each with the range of k at which its interval contains 0.75."""

    def at(exponent: float) -> Estimate:
        slower = float(np.exp(exponent))
        return both.ratio(slower, slower)

    def factor(exponent: float | None) -> float | None:
        return None if exponent is None else float(np.exp(exponent))

    return tuple(
        Crossing(
            factor(one.at),
            (factor(one.low) or 0.0) if one.has_interval else None,
            factor(one.high),
            one.has_interval,
        )
        for one in crossing.crossings([float(exponent) for exponent in np.log(SEARCH)], at, PAPER_RATIO)
    )
