"""A sweep: the median response time along each axis, and of two axes the ratio as a map."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.colors import LinearSegmentedColormap, TwoSlopeNorm

from collect.analysis import wording
from collect.report.looks import looks
from collect.report.picture import COLOURS, COLUMN, FAINT, GREY, INK, PAGE, SMALL, Picture, wrapped
from collect.sweep import combinations, told, written

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from collect.analysis.statistics import Estimate, Summary
    from collect.analysis.summary import Analysis
    from collect.analysis.sweep import Line
    from collect.run import Run
    from collect.sweep import Axis, Sweep, Value, Values

# Panels of a figure, three in a row, and the letters of a title; more panels would be a page.
PANELS, COLUMNS, LETTERS = 6, 3, 30
# Numbers whose largest is so many times the smallest are on a logarithmic scale.
WIDE = 50
# Cells of a map that have room for their numbers.
WRITTEN = 8


def pictures(run: Run, analysis: Analysis) -> Iterator[Picture]:
    """Yield a figure for each axis of a sweep, and the map of each pair of scenarios that two axes have."""
    sweep = run.sweep
    if sweep is None or analysis.sweep is None:
        return
    summaries = {scenario.name: scenario.response_s for scenario in analysis.scenarios}
    for number, axis in enumerate(sweep.axes, 1):
        yield _along(sweep, axis, number, summaries, analysis.sweep.lines)
    if analysis.sweep.reference is None:
        return
    for number, scenario in enumerate(sweep.scenarios, 1):
        axes = sweep.axes_of(scenario, analysis.sweep.reference)
        ratios = {
            tuple(one.values[axis.name] for axis in axes): one.ratio
            for one in analysis.sweep.comparisons
            if sweep.points[one.subject].of == scenario
        }
        if len(axes) == 2 and ratios:  # noqa: PLR2004 - a map has two
            yield _map(axes, ratios, (scenario, analysis.sweep.reference), f"sweep-map-{number}")


def _along(sweep: Sweep, axis: Axis, number: int, summaries: dict[str, Summary], lines: Sequence[Line]) -> Picture:
    others = tuple(other for other in sweep.axes if other.name != axis.name)
    panels = list(combinations(others))
    shown = panels[:PANELS]
    columns = min(COLUMNS, len(shown))
    rows = math.ceil(len(shown) / columns)
    left_out = f" {len(panels) - len(shown)} more panels are not shown." if len(panels) > len(shown) else ""
    has_crossing = any(line.axis == axis.name and line.crossings for line in lines)
    crossing = (
        " A vertical line is where the typical ratio of pairs is 1, which need not be where medians meet; in the grey "
        "area its 95 % interval contains 1."
        if has_crossing
        else ""
    )
    return Picture(
        name=f"sweep-{number}",
        alternative=f"Median response time of {' and '.join(sweep.scenarios)} along {axis.name}.",
        caption=f"Median response time along {axis.name}, with the exact interval of the median; a scenario without "
        f"this axis is a horizontal line with its interval as a band.{crossing}{left_out}",
        size_inches=(PAGE if columns > 1 else COLUMN, 2.3 * rows + 0.5),
        draw=lambda figure: _panels(figure, sweep, axis, shown, rows, columns, summaries, lines),
        wide=columns > 1,
    )


def _panels(
    figure: Figure,
    sweep: Sweep,
    axis: Axis,
    shown: Sequence[Values],
    rows: int,
    columns: int,
    summaries: dict[str, Summary],
    lines: Sequence[Line],
) -> None:
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in list(grid.flat)[len(shown) :]:
        axes.set_axis_off()
    for axes, fixed in zip(grid.flat, shown, strict=False):
        _panel(axes, sweep, axis, fixed, summaries, lines)
        axes.set_title(wrapped(told(fixed), LETTERS))
    handles, labels = grid.flat[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper left", ncols=4, frameon=False)
    figure.supxlabel(axis.name, fontsize=8)
    figure.supylabel("median response time (s)", fontsize=8)


def _panel(
    axes: Axes, sweep: Sweep, axis: Axis, fixed: Values, summaries: dict[str, Summary], lines: Sequence[Line]
) -> None:
    by_name = looks(sweep.scenarios)
    places = _places(axis)
    for line in lines:
        if line.axis == axis.name and line.fixed.items() <= fixed.items():
            _crossings(axes, line, places)
    for scenario in sweep.scenarios:
        colour, marker = by_name[scenario]
        if axis not in sweep.axes_of(scenario):
            _level(axes, summaries.get(sweep.at(scenario, fixed) or ""), scenario, colour)
            continue
        at = [(places[value], summaries.get(sweep.at(scenario, {**fixed, axis.name: value}) or "")) for value in places]
        measured = [(place, summary) for place, summary in at if summary is not None]
        if measured:
            _medians(axes, measured, scenario, colour, marker)
    ticks = list(places.values())
    if axis.has_scale and ticks[0] > 0 and ticks[-1] >= WIDE * ticks[0]:
        axes.set_xscale("log")
    axes.set_xticks(ticks, [wrapped(written(value), 12) for value in places])
    axes.minorticks_off()
    axes.set_ylim(bottom=0)
    axes.grid(axis="y", color=GREY, alpha=FAINT, linewidth=0.6)
    axes.set_axisbelow(True)


def _places(axis: Axis) -> dict[Value, float]:
    """Return where each value stands: a number at its place, others one after the other."""
    return {value: float(value) if axis.has_scale else float(number) for number, value in enumerate(axis.ordered)}


def _crossings(axes: Axes, line: Line, places: dict[Value, float]) -> None:
    ends = list(places.values())
    for one in line.crossings or ():
        if one.has_interval:
            low, high = (ends[0] if one.low is None else one.low), (ends[-1] if one.high is None else one.high)
            axes.axvspan(low, high, color=GREY, alpha=FAINT, linewidth=0)
        if one.at is not None:
            axes.axvline(one.at, color=INK, linewidth=0.9, linestyle="--")


def _level(axes: Axes, summary: Summary | None, name: str, colour: str) -> None:
    """Draw a scenario that does not have the axis."""
    if summary is None:
        return
    axes.axhline(summary.median, color=colour, linewidth=1.4, label=name)
    if summary.interval.low is not None and summary.interval.high is not None:
        axes.axhspan(summary.interval.low, summary.interval.high, color=colour, alpha=0.15, linewidth=0)


def _medians(axes: Axes, measured: Sequence[tuple[float, Summary]], name: str, colour: str, marker: str) -> None:
    medians = [summary.median for _, summary in measured]
    ends = [(summary.interval.low, summary.interval.high, summary.median) for _, summary in measured]
    reach = [
        [median - low if low is not None else 0.0 for low, _, median in ends],
        [high - median if high is not None else 0.0 for _, high, median in ends],
    ]
    places = [place for place, _ in measured]
    axes.errorbar(
        places, medians, yerr=reach, color=colour, marker=marker, markersize=4, linewidth=1.4, capsize=2, label=name
    )


def _map(axes: Sequence[Axis], ratios: dict[tuple[Value, ...], Estimate], names: tuple[str, str], name: str) -> Picture:
    subject, reference = names
    across, up = axes
    return Picture(
        name=name,
        alternative=f"Map of the ratio of {subject} to {reference} over {across.name} and {up.name}.",
        caption=f"The typical ratio of the response times of {subject} to {reference} at each pair of values, with "
        f"its 95 % interval below; blue where {subject} takes less time, orange where {reference} does. In framed "
        "cells the interval contains 1, so neither is decided.",
        size_inches=(PAGE if len(across.values) > WRITTEN // 2 else COLUMN, 0.45 * len(up.values) + 1.2),
        draw=lambda figure: _cells(figure, across, up, ratios),
        wide=len(across.values) > WRITTEN // 2,
    )


def _cells(figure: Figure, across: Axis, up: Axis, ratios: dict[tuple[Value, ...], Estimate]) -> None:
    axes = figure.subplots()
    columns, rows = list(_places(across)), list(_places(up))
    estimates = [[ratios.get((column, row)) for column in columns] for row in rows]
    logs = np.array(
        [[math.log2(one.value) if one is not None and one.value else np.nan for one in row] for row in estimates]
    )
    reach = max(0.5, float(np.nanmax(np.abs(logs))) if not np.isnan(logs).all() else 0.5)
    colours = LinearSegmentedColormap.from_list("sides", [COLOURS[0], "#FFFFFF", COLOURS[1]])
    axes.imshow(logs, cmap=colours, norm=TwoSlopeNorm(0, -1.8 * reach, 1.8 * reach), origin="lower", aspect="auto")
    small = len(columns) <= WRITTEN
    for row, of_row in enumerate(estimates):
        for column, one in enumerate(of_row):
            if one is None or one.value is None:
                continue
            if small:
                span = "" if one.low is None else f"\n{wording.span(one.low, one.high)}"
                axes.text(
                    column,
                    row,
                    f"{wording.number(one.value)}{span}",
                    ha="center",
                    va="center",
                    fontsize=SMALL,
                    color="black",
                )
            if one.low is not None and one.high is not None and one.low <= 1 <= one.high:
                axes.plot(
                    [column - 0.46, column + 0.46, column + 0.46, column - 0.46, column - 0.46],
                    [row - 0.44, row - 0.44, row + 0.44, row + 0.44, row - 0.44],
                    color=INK,
                    linewidth=1.2,
                )
    axes.set_xticks(range(len(columns)), [wrapped(written(value), 10) for value in columns])
    axes.set_yticks(range(len(rows)), [wrapped(written(value), 16) for value in rows])
    axes.set_xlabel(across.name)
    axes.set_ylabel(up.name)
    axes.tick_params(length=0)
