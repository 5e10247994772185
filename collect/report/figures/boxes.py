"""Box plots with the points on top, for the figures that compare a metric between scenarios."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.collections import LineCollection

from collect.report.looks import looks
from collect.report.picture import COLUMN, FAINT, GREY, INK, PAGE, wrapped

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping, Sequence

    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from collect.analysis.statistics import Summary

    Points = Sequence[float] | NDArray[np.float64]

BOX_WIDTH = 0.5
JITTER_WIDTH = 0.34
# How much of a scenario's colour its box is filled with.
TINT = 0.14
# With more than so many points a scenario has a histogram in their place: they would be one area.
MOST_POINTS = 200
BINS = 40
# So many boxes fit into a column.
IN_A_COLUMN = 4
# What the axis and its labels take of the width, and a letter of a label, in inches.
MARGIN, LETTER = 0.75, 0.068
FEWEST_LETTERS = 6


def reading(values: Mapping[str, Points]) -> str:
    """Return how the boxes are read, as a part of the caption."""
    points, binned = "each point is a repetition (its horizontal position has no meaning)", ""
    if any(len(of_scenario) > MOST_POINTS for of_scenario in values.values()):
        binned = f"of more than {MOST_POINTS} repetitions the outline is a histogram in the place of points"
        points = binned if min(map(len, values.values())) > MOST_POINTS else f"{points}, {binned}"
    return (
        f"Box: quartiles and median; whiskers: the most extreme values within 1.5 IQR; {points}; the bar beside a box "
        "is the exact interval of the median."
    )


def is_wide(values: Mapping[str, Points]) -> bool:
    """Return whether so many boxes need the page's width."""
    return len(values) > IN_A_COLUMN


def size_inches(values: Mapping[str, Points]) -> tuple[float, float]:
    """Return the width and height of so many boxes, in inches."""
    return (PAGE if is_wide(values) else COLUMN, 2.9)


def box_style(colour: str, face: str | tuple[str, float]) -> dict[str, Any]:
    """Return how `Axes.boxplot` draws a box: lines of a colour on a face, the median in ink, no points of its own."""
    line = {"color": colour, "linewidth": 1.0}
    return {
        "patch_artist": True,
        "showfliers": False,
        "manage_ticks": False,
        "boxprops": {"facecolor": face, "edgecolor": colour, "linewidth": 1.0},
        "whiskerprops": line,
        "capprops": line,
        "medianprops": {"color": INK, "linewidth": 1.6},
    }


def draw(axes: Axes, values: Mapping[str, Points], summaries: Mapping[str, Summary], names: Sequence[str]) -> None:
    """Draw a box for each scenario in ``values``; ``names`` are all scenarios of the run, which fix their looks."""
    by_name = looks(names)
    for place, (name, points) in enumerate(values.items()):
        colour, marker = by_name[name]
        binned = len(points) > MOST_POINTS
        if binned:
            axes.boxplot(points, positions=[place], widths=BOX_WIDTH / 3, **box_style(INK, "none"))
        else:
            axes.boxplot(points, positions=[place], widths=BOX_WIDTH, **box_style(colour, (colour, TINT)))
        if binned:
            _histogram(axes, place, points, colour)
        else:
            places = across(place, len(points))
            axes.scatter(places, points, s=8, color=colour, marker=marker, linewidths=0, zorder=3)
        interval = summaries[name].interval
        if interval.low is not None and interval.high is not None:
            median = summaries[name].median
            reach = [[median - interval.low], [interval.high - median]]
            axes.errorbar([place + 0.36], [median], yerr=reach, color=INK, elinewidth=1, capsize=2, capthick=1)
    axes.set_xlim(-0.6, len(values) - 0.4)
    _label(axes, values)
    axes.grid(axis="y", color=GREY, alpha=FAINT, linewidth=0.6)
    axes.set_axisbelow(True)


def connect(axes: Axes, values: Mapping[str, Points], pairs: Mapping[str, Sequence[Hashable]]) -> None:
    """Draw a line between the points of a pair, from each scenario to the next; ``pairs`` names that of each value."""
    places = {
        name: dict(zip(pairs[name], zip(across(place, len(points)), points, strict=True), strict=True))
        for place, (name, points) in enumerate(values.items())
    }
    for name, other in pairwise(places):
        lines = [(places[name][pair], places[other][pair]) for pair in places[name] if pair in places[other]]
        axes.add_collection(LineCollection(lines, colors=GREY, linewidths=0.5, zorder=2.5, gid=f"pairs-{name}"))


def _label(axes: Axes, values: Mapping[str, Points]) -> None:
    """Write the names below the boxes: in lines that fit, upright where not even a few letters do."""
    letters = int((size_inches(values)[0] - MARGIN) / len(values) / LETTER)
    upright = letters < FEWEST_LETTERS
    labels = [f"{wrapped(name, 32 if upright else letters)}\nn = {len(points)}" for name, points in values.items()]
    axes.set_xticks(range(len(values)), labels, rotation=90 if upright else 0)
    axes.tick_params(axis="x", length=0)


def _histogram(axes: Axes, place: int, points: Points, colour: str) -> None:
    counts, edges = np.histogram(points, bins=BINS)
    half = counts / counts.max() * BOX_WIDTH / 2
    axes.stairs(
        place + half,
        edges,
        baseline=place - half,
        orientation="horizontal",
        fill=True,
        facecolor=(colour, 0.25),
        edgecolor=colour,
        linewidth=0.8,
    )


def across(place: int, count: int) -> list[float]:
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
