"""The points of a sweep against each other: where along an axis two scenarios take equally long. No I/O.

Two scenarios are compared at equal values of the axes. Between neighbouring values of an axis the response times of one
repetition are interpolated linearly, and the typical ratio is that of headline and claims (`sample.ratio`), so at the
values themselves it is the measured one, and its interval follows from the same ranks.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from collect.analysis import crossing, rescaling, sample, wording
from collect.analysis.sample import Sample
from collect.errors import CollectError
from collect.records import TOGETHER
from collect.sweep import combinations, told, written

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from collect.analysis.crossing import Crossing
    from collect.analysis.repetitions import Repetition
    from collect.analysis.statistics import Estimate
    from collect.sweep import Axis, Sweep, Value, Values

    Scenarios = Mapping[str, Sequence[Repetition]]

# Between two values of an axis the ratio is looked at so many times: of two crossings closer than that none is seen.
FINER = 8
# How many lines the headline tells of, and how many nodes a note names.
TOLD = 4


@dataclass(frozen=True, slots=True)
class PointComparison:
    """A point of a scenario against the point of the reference at the same values."""

    subject: str
    reference: str
    values: Values
    ratio: Estimate


@dataclass(frozen=True, slots=True)
class Line:
    """Two scenarios along one axis, at fixed values of the others.

    ``crossings`` are where the typical ratio of the response times is 1; ``None`` where the axis has no scale or fewer
    than two values were measured. ``repetitions`` are those that all its points have.
    """

    axis: str
    fixed: Values
    subject: str
    reference: str
    repetitions: int
    places: tuple[Value, ...]
    ratios: tuple[Estimate, ...]
    crossings: tuple[Crossing, ...] | None
    sentence: str
    short: str


@dataclass(frozen=True, slots=True)
class Sweeping:
    """The numbers of a sweep; ``points`` are by name: which scenario each was made of, and its values."""

    axes: dict[str, tuple[Value, ...]]
    points: dict[str, tuple[str, Values]]
    reference: str | None
    comparisons: tuple[PointComparison, ...]
    lines: tuple[Line, ...]
    headline: str
    left_out: str
    notes: tuple[str, ...]


def sweeping(sweep: Sweep, finished: Scenarios, asked: str | None, default: str) -> Sweeping:
    """Return the numbers of a sweep.

    Args:
        sweep: its axes and points.
        finished: the repetitions of each point that count, of those points that have any.
        asked: the scenario with which the others are to be compared, if any is asked for.
        default: the one that is taken where it is among the scenarios of the sweep, else the last.

    Raises:
        CollectError: no scenario of the sweep has the name that is asked for, or none of its points is on record.
    """
    scenarios = [one for one in sweep.scenarios if any(name in finished for name in sweep.points_of(one))]
    if asked is not None and asked not in scenarios:
        raise CollectError(f"{asked!r} is not a scenario of this sweep; expected one of: {', '.join(scenarios)}.")
    if not scenarios:
        raise CollectError("The sweep in manifest.json has none of the scenarios that are on record; restore the file.")
    reference = asked or (default if default in scenarios else scenarios[-1])
    subjects = [one for one in scenarios if one != reference]
    compared = tuple(one for subject in subjects for one in _compared(sweep, finished, subject, reference))
    lines = tuple(
        line
        for subject in subjects
        for axis in sweep.axes_of(subject, reference)
        for line in _lines(sweep, finished, axis, subject, reference)
    )
    points = {name: (point.of, point.values) for name, point in sweep.points.items()}
    return Sweeping(
        axes={axis.name: axis.values for axis in sweep.axes},
        points=points,
        reference=reference if subjects else None,
        comparisons=compared,
        lines=lines,
        headline=_headline(lines, compared),
        left_out=_left_out(len(finished), len(compared)),
        notes=tuple(_notes(sweep, finished)),
    )


def _compared(sweep: Sweep, finished: Scenarios, subject: str, reference: str) -> Iterator[PointComparison]:
    for values in combinations(sweep.axes_of(subject, reference)):
        pair = _pair(sweep, finished, (subject, reference), values)
        if pair is not None:
            ratio = _Way([0.0], [finished[pair[0]]], [finished[pair[1]]]).ratio(0.0)
            yield PointComparison(*pair, values, ratio)


def _pair(sweep: Sweep, finished: Scenarios, names: tuple[str, str], values: Values) -> tuple[str, str] | None:
    """Return the points of two scenarios at equal values, if both are on record and share repetitions.

    Their response times have to be of a kind, too: of all requests of a repetition, or of single ones.
    """
    ours, theirs = (sweep.at(name, values) for name in names)
    if ours is None or theirs is None or ours not in finished or theirs not in finished:
        return None
    sides = finished[ours], finished[theirs]
    if (sides[0][0].arrivals == TOGETHER) != (sides[1][0].arrivals == TOGETHER):
        return None
    pairs = [{repetition.pair for repetition in side} for side in sides]
    return (ours, theirs) if pairs[0] & pairs[1] else None


class _Way:
    """Both sides at each place of an axis, as far as all places share repetitions."""

    def __init__(
        self,
        places: Sequence[float],
        subject: Sequence[Sequence[Repetition]],
        reference: Sequence[Sequence[Repetition]],
    ) -> None:
        by_pair = [{one.pair: one for one in side} for side in (*subject, *reference)]
        pairs = sorted(set.intersection(*(set(side) for side in by_pair)))
        self.repetitions = len(pairs)
        self._places = places
        used = [[side[pair] for side in by_pair] for pair in rescaling.spread(pairs)]
        count = len(places)
        self._subject = [[row[place].response_s for row in used] for place in range(count)]
        self._reference = [[row[count + place].response_s for row in used] for place in range(count)]
        # Those that were measured in the same blocks at each place belong together.
        numbers: dict[tuple[str | int, ...], int] = {}
        self._rounds = tuple(
            numbers.setdefault((row[0].base_station, *(one.block for one in row)), len(numbers)) for row in used
        )

    def ratio(self, place: float) -> Estimate:
        """Return the typical ratio at a place, of times that are interpolated between its neighbours."""
        sides = self._at(self._subject, place), self._at(self._reference, place)
        return sample.ratio(Sample(*sides, self._rounds))

    def _at(self, times_s: Sequence[Sequence[float]], place: float) -> tuple[float, ...]:
        if place in self._places:
            return tuple(times_s[self._places.index(place)])
        after = bisect_right(self._places, place)
        before_at, after_at = self._places[after - 1], self._places[after]
        share = (place - before_at) / (after_at - before_at)
        return tuple(
            (1 - share) * left + share * right for left, right in zip(times_s[after - 1], times_s[after], strict=True)
        )


def _lines(sweep: Sweep, finished: Scenarios, axis: Axis, subject: str, reference: str) -> Iterator[Line]:
    others = tuple(other for other in sweep.axes_of(subject, reference) if other.name != axis.name)
    for fixed in combinations(others):
        measured = [
            (value, finished[pair[0]], finished[pair[1]])
            for value in axis.ordered
            if (pair := _pair(sweep, finished, (subject, reference), {**fixed, axis.name: value})) is not None
        ]
        if measured:
            yield _line(axis, fixed, (subject, reference), measured)


def _line(
    axis: Axis,
    fixed: Values,
    names: tuple[str, str],
    measured: Sequence[tuple[Value, Sequence[Repetition], Sequence[Repetition]]],
) -> Line:
    has_scale = axis.has_scale
    places = [float(value) if has_scale else float(number) for number, (value, _, _) in enumerate(measured)]
    way = _Way(places, [ours for _, ours, _ in measured], [theirs for _, _, theirs in measured])
    found, sentence, short = None, "", ""
    is_known = way.repetitions > 0
    ratios = tuple(way.ratio(place) for place in places) if is_known else ()
    if has_scale and len(places) > 1 and is_known and all(ratio.value is not None for ratio in ratios):
        search = [left + step * (right - left) / FINER for left, right in pairwise(places) for step in range(FINER)] + [
            places[-1]
        ]
        found = crossing.crossings(search, way.ratio, 1.0)
        words = _Words(axis.name, fixed, names, places, ratios, found, way)
        sentence, short = words.sentence(), words.short()
    return Line(
        axis=axis.name,
        fixed=fixed,
        subject=names[0],
        reference=names[1],
        repetitions=way.repetitions,
        places=tuple(value for value, _, _ in measured),
        ratios=ratios,
        crossings=found,
        sentence=sentence,
        short=short,
    )


@dataclass(frozen=True, slots=True)
class _Words:
    """What is said of a line."""

    axis: str
    fixed: Values
    names: tuple[str, str]
    places: Sequence[float]
    ratios: Sequence[Estimate]
    found: Sequence[Crossing]
    way: _Way

    def sentence(self) -> str:
        """Return where the two take equally long, and who takes longer beyond; or that they do not cross."""
        subject, reference = self.names
        with_fixed = f"With {told(self.fixed)}, " if self.fixed else ""
        crossed = [one for one in self.found if one.at is not None]
        if not crossed:
            return f"{with_fixed}{self._without()}"
        parts = [
            f"at {self.axis} {_number(one.at)} ({self._interval(one)}); above it {self._slower_after(one)} takes longer"
            for one in crossed
        ]
        return f"{with_fixed}{subject} and {reference} take equally long {', and '.join(parts)}."

    def short(self) -> str:
        """Return the same as a part of the headline."""
        fixed = f" with {told(self.fixed)}" if self.fixed else ""
        crossed = [f"{_number(one.at)} ({self._ends(one)})" for one in self.found if one.at is not None]
        if crossed:
            return f"at {' and '.join(crossed)}{fixed}"
        partly = ", though that is not decided everywhere" if self.found else ""
        span = f"from {_number(self.places[0])} to {_number(self.places[-1])}"
        return f"nowhere {span}{fixed}, where {self._slower(self.ratios[0])} takes longer{partly}"

    def _without(self) -> str:
        subject, reference = self.names
        values = [ratio.value or 0.0 for ratio in self.ratios]
        span = f"from {_number(self.places[0])} to {_number(self.places[-1])}"
        ratios = f"typical ratio of {subject} to {reference}: {min(values):.3g} to {max(values):.3g}"
        longer = f"{self._slower(self.ratios[0])} takes longer at each {self.axis} measured {span} ({ratios})"
        if self.ratios[0].low is None:
            return f"{longer}; that has no interval: {self.ratios[0].no_interval_because}."
        if any(one.low is None and one.high is None for one in self.found):
            return (
                f"{longer}, but nowhere is that decided: the 95 % interval of the ratio contains 1 on the whole axis."
            )
        if self.found:
            where = " and ".join(self._range(one) for one in self.found)
            return f"{longer}, but {where} that is not decided: there the 95 % interval of the ratio contains 1."
        return f"{longer}: they do not cross within the axis."

    def _range(self, one: Crossing) -> str:
        if one.low is None:
            return f"up to {_number(one.high)}"
        return f"from {_number(one.low)} on" if one.high is None else f"from {_number(one.low)} to {_number(one.high)}"

    def _interval(self, one: Crossing) -> str:
        if not one.has_interval:
            return f"no interval: {self.ratios[0].no_interval_because}"
        first, last = _number(self.places[0]), _number(self.places[-1])
        if one.low is None and one.high is None:
            return f"95 % interval: all of the axis, {first} to {last}, so where is not known"
        if one.low is None:
            return (
                f"95 % interval: up to {_number(one.high)}, not bounded below within the axis, which begins at {first}"
            )
        if one.high is None:
            return f"95 % interval: {_number(one.low)} or more, not bounded within the axis, which ends at {last}"
        return f"95 % interval: {_number(one.low)} to {_number(one.high)}"

    def _ends(self, one: Crossing) -> str:
        """Return the interval in a few words."""
        if not one.has_interval:
            return "no interval"
        low = f"below {_number(self.places[0])}" if one.low is None else _number(one.low)
        high = f"beyond {_number(self.places[-1])}" if one.high is None else _number(one.high)
        return f"95 % interval: {low} to {high}"

    def _slower_after(self, one: Crossing) -> str:
        at = one.at if one.at is not None else self.places[0]
        later = [other.at for other in self.found if other.at is not None and other.at > at]
        return self._slower(self.way.ratio((at + (later[0] if later else self.places[-1])) / 2))

    def _slower(self, ratio: Estimate) -> str:
        return self.names[0] if (ratio.value or 0.0) > 1 else self.names[1]


def _number(value: float | None) -> str:
    """Return a place on an axis: whole numbers as they are, others with three digits and no zeros at their end."""
    if value is None:
        return wording.NOTHING
    return written(int(value)) if value.is_integer() else written(float(wording.number(value)))


def _headline(lines: Sequence[Line], compared: Sequence[PointComparison]) -> str:
    first = next((line for line in lines if line.crossings is not None), None)
    if first is None:
        return _counted(compared)
    told_of = [line for line in lines if line.short and _is_beside(line, first)]
    more = f"; and {len(told_of) - TOLD} more lines" if len(told_of) > TOLD else ""
    parts = "; ".join(line.short for line in told_of[:TOLD])
    return f"Along {first.axis}, {first.subject} and {first.reference} take equally long {parts}{more}."


def _is_beside(line: Line, other: Line) -> bool:
    return (line.axis, line.subject, line.reference) == (other.axis, other.subject, other.reference)


def _counted(compared: Sequence[PointComparison]) -> str:
    """Return at how many points which side takes longer, where no axis has a scale; nothing without comparisons."""
    if not compared:
        return ""
    less = sum(one.ratio.high is not None and one.ratio.high < 1 for one in compared)
    more = sum(one.ratio.low is not None and one.ratio.low > 1 for one in compared)
    return (
        f"Of {wording.count(len(compared), 'pair')} of points at equal values, the first takes less time in {less} and "
        f"more in {more}; in {len(compared) - less - more} it is not decided."
    )


def _left_out(points: int, compared: int) -> str:
    others = points * (points - 1) // 2 - compared
    verb = "is" if compared == 1 else "are"
    return (
        f"{wording.count(compared, 'pair')} of points with equal values on the axes {verb} compared; the other "
        f"{others} are not, and neither the paper's claims nor other speeds of compute are judged in a sweep."
    )


def _notes(sweep: Sweep, finished: Scenarios) -> Iterator[str]:
    """Yield which scenarios have points on different nodes."""
    for scenario in sweep.scenarios:
        nodes = {
            tuple(sorted({request.node for request in finished[name][0].requests if request.node}))
            for name in sweep.points_of(scenario)
            if name in finished
        }
        if len(nodes) > 1 and not any(set(one) < set(other) for one in nodes for other in nodes):
            named = "; ".join(", ".join(one) for one in sorted(nodes)[:TOLD])
            more = f" and {len(nodes) - TOLD} others" if len(nodes) > TOLD else ""
            yield (
                f"The points of {scenario} were measured on different nodes ({named}{more}): what these nodes differ "
                "in is part of what is shown."
            )
