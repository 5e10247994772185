"""Box plots with the points on top, for the figures that compare a metric between scenarios."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from matplotlib.collections import LineCollection

from collect.report.picture import COLOURS, GREY, INK

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping, Sequence

    from matplotlib.axes import Axes

    from collect.analysis.statistics import Summary

BOX_WIDTH = 0.5
JITTER_WIDTH = 0.34
READING = (
    "Box: quartiles and median; whiskers: the most extreme values within 1.5 IQR; each point is a repetition (its "
    "horizontal position has no meaning); the bar beside a box is the exact interval of the median."
)


def size_inches(values: Mapping[str, Sequence[float]]) -> tuple[float, float]:
    """Return the width and height of so many boxes, in inches."""
    return (max(3.9, 1.2 + 1.1 * len(values)), 3.6)


def draw(
    axes: Axes, values: Mapping[str, Sequence[float]], summaries: Mapping[str, Summary], names: Sequence[str]
) -> None:
    """Draw a box for each scenario in ``values``; ``names`` are all scenarios of the run, which fix the colours."""
    for place, (name, points) in enumerate(values.items()):
        colour = COLOURS[names.index(name) % len(COLOURS)]
        line = {"color": colour, "linewidth": 1.2}
        axes.boxplot(
            points,
            positions=[place],
            widths=BOX_WIDTH,
            patch_artist=True,
            showfliers=False,
            manage_ticks=False,
            boxprops={"facecolor": (colour, 0.14), "edgecolor": colour, "linewidth": 1.2},
            whiskerprops=line,
            capprops=line,
            medianprops={"color": INK, "linewidth": 1.8},
        )
        axes.scatter(_across(place, len(points)), points, s=15, color=colour, alpha=0.8, linewidths=0, zorder=3)
        interval = summaries[name].interval
        if interval.low is not None and interval.high is not None:
            median = summaries[name].median
            reach = [[median - interval.low], [interval.high - median]]
            axes.errorbar([place + 0.36], [median], yerr=reach, color=INK, elinewidth=1, capsize=2.5, capthick=1)
    axes.set_xlim(-0.6, len(values) - 0.4)
    axes.set_xticks(range(len(values)), [f"{name}\nn = {len(points)}" for name, points in values.items()])
    axes.tick_params(axis="x", length=0)
    axes.grid(axis="y", color=GREY, alpha=0.3, linewidth=0.6)
    axes.set_axisbelow(True)


def connect(axes: Axes, values: Mapping[str, Sequence[float]], pairs: Mapping[str, Sequence[Hashable]]) -> None:
    """Draw a line between the points of a pair, from each scenario to the next; ``pairs`` names that of each value."""
    places = {
        name: dict(zip(pairs[name], zip(_across(place, len(points)), points, strict=True), strict=True))
        for place, (name, points) in enumerate(values.items())
    }
    for name, other in pairwise(places):
        lines = [(places[name][pair], places[other][pair]) for pair in places[name] if pair in places[other]]
        axes.add_collection(LineCollection(lines, colors=GREY, linewidths=0.7, alpha=0.7, zorder=2.5))


def _across(place: int, count: int) -> list[float]:
    """Return the horizontal positions of the points of the box at a place."""
    return [place + JITTER_WIDTH * (_van_der_corput(index + 1) - 0.5) for index in range(count)]


def _van_der_corput(index: int) -> float:
    """Return a number between 0 and 1, far from those of earlier indices (van der Corput's sequence, base 2)."""
    number, share = 0.0, 0.5
    while index:
        number += share * (index & 1)
        index >>= 1
        share /= 2
    return number
