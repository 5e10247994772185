"""Where an estimate that is continuous along a scale has a given value, with the interval of that place. No I/O.

The interval of the estimate at a place is that of a test there, so the places that it does not refuse are a 95 %
confidence set of the crossing: the inversion of a test, as in Fieller's theorem. It needs no bootstrap, and may be
unbounded, which a bootstrap would hide.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from scipy import optimize

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from collect.analysis.statistics import Estimate

# Of the whole scale, to which a place is found.
PRECISION = 1e-7


@dataclass(frozen=True, slots=True)
class Crossing:
    """Where the estimate has the value, and from where to where its interval contains it.

    ``at`` is ``None`` where only the interval contains it. ``low`` and ``high`` are ``None`` where there is no end
    within the scale, and both of them where the estimate has no interval (``has_interval``).
    """

    at: float | None
    low: float | None
    high: float | None
    has_interval: bool


def crossings(places: Sequence[float], estimate: Callable[[float], Estimate], value: float) -> tuple[Crossing, ...]:
    """Return the crossings between the first and the last place, in their order.

    Args:
        places: where it is looked for, ascending; of two crossings between neighbours none is seen.
        estimate: the estimate at a place.
        value: what it is looked for.
    """
    seen = [estimate(place) for place in places]
    if any(one.value is None for one in seen):
        return ()
    search = _Search(places, estimate, value, seen)
    at = search.roots(lambda one: one.value)
    if any(one.low is None for one in seen):
        return tuple(Crossing(place, None, None, has_interval=False) for place in at)
    found: list[tuple[float, Crossing]] = []
    for low, high in search.containing():
        inside = [place for place in at if low <= place <= high]
        ends = None if low == places[0] else low, None if high == places[-1] else high
        nowhere: list[float | None] = [None]
        found += [(low, Crossing(place, *ends, has_interval=True)) for place in inside or nowhere]
        at = [place for place in at if place not in inside]
    # Where all repetitions are the same, the interval is a point.
    found += [(place, Crossing(place, place, place, has_interval=True)) for place in at]
    return tuple(crossing for _, crossing in sorted(found, key=lambda one: one[0]))


@dataclass(frozen=True, slots=True)
class _Search:
    places: Sequence[float]
    estimate: Callable[[float], Estimate]
    value: float
    seen: Sequence[Estimate]

    def roots(self, end: Callable[[Estimate], float | None]) -> list[float]:
        """Return where the estimate, or an end of its interval, has the value."""

        def above(place: float) -> float:
            return (end(self.estimate(place)) or 0.0) - self.value

        signs = [(end(one) or 0.0) - self.value < 0 for one in self.seen]
        changes = [place for place, (left, right) in enumerate(pairwise(signs)) if left != right]
        precision = PRECISION * (self.places[-1] - self.places[0])
        return [
            float(optimize.brentq(above, self.places[place], self.places[place + 1], xtol=precision))
            for place in changes
        ]

    def containing(self) -> list[tuple[float, float]]:
        """Return from where to where the interval contains the value."""
        ends = sorted([*self.roots(lambda one: one.low), *self.roots(lambda one: one.high)])
        ranges = []
        for low, high in pairwise([self.places[0], *ends, self.places[-1]]):
            # Between two borders it contains the value everywhere or nowhere.
            middle = self.estimate((low + high) / 2)
            if middle.low is not None and middle.high is not None and middle.low <= self.value <= middle.high:
                ranges.append((low, high))
        return ranges
