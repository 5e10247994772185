"""Fig. 5a and 5b: box plots with the points on top."""

from __future__ import annotations

from typing import TYPE_CHECKING

from collect.analysis import wording
from collect.analysis.repetitions import ordered
from collect.report.picture import COLOURS, GREY, INK, Picture

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from collect.analysis.repetitions import Measurements
    from collect.analysis.statistics import Summary
    from collect.analysis.summary import Analysis

BOX_WIDTH = 0.5
JITTER_WIDTH = 0.34
READING = (
    "Box: quartiles and median; whiskers: the furthest values within 1.5 IQR; every repetition is a point (its place "
    "across the box means nothing); the bar beside a box is the exact interval of the median."
)


def figure_5a(analysis: Analysis, measurements: Measurements) -> Picture:
    """Return Fig. 5a: the response times in seconds, from zero."""
    values = {name: [r.response_s for r in measurements.scenarios[name]] for name in _names(analysis)}
    summaries = {scenario.name: scenario.response_s for scenario in analysis.scenarios}
    said = "; ".join(f"{name}: median {wording.number(summary.median)} s" for name, summary in summaries.items())

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        _boxes(axes, values, summaries, _names(analysis))
        axes.set_ylabel("response time (s)")
        axes.set_ylim(0, 1.06 * max(summary.maximum for summary in summaries.values()))

    return Picture(
        "fig5a", f"Box plots of the response time. {said}.", f"Fig. 5a: response time. {READING}", _size(values), draw
    )


def figure_5b(analysis: Analysis, measurements: Measurements) -> Picture | None:
    """Return Fig. 5b: the accuracies of the test set, or ``None`` when no repetition has one."""
    summaries = {scenario.name: scenario.accuracy for scenario in analysis.scenarios if scenario.accuracy is not None}
    if not summaries:
        return None
    values = {
        name: [r.accuracy for r in measurements.scenarios[name] if r.accuracy is not None]
        for name in ordered(summaries)
    }
    said = "; ".join(f"{name}: median {summary.median:.3f}" for name, summary in summaries.items())

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        _boxes(axes, values, summaries, _names(analysis))
        axes.set_ylabel("test accuracy (share of texts)")

    return Picture(
        "fig5b", f"Box plots of the test accuracy. {said}.", f"Fig. 5b: test accuracy. {READING}", _size(values), draw
    )


def colour_of(name: str, names: Sequence[str]) -> str:
    """Return the colour of a scenario: the same in all figures of a run."""
    return COLOURS[names.index(name) % len(COLOURS)]


def _names(analysis: Analysis) -> list[str]:
    return [scenario.name for scenario in analysis.scenarios]


def _size(values: dict[str, list[float]]) -> tuple[float, float]:
    return (max(3.9, 1.2 + 1.1 * len(values)), 3.6)


def _boxes(axes: Axes, values: dict[str, list[float]], summaries: dict[str, Summary], names: Sequence[str]) -> None:
    for place, (name, points) in enumerate(values.items()):
        colour = colour_of(name, names)
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
        across = [place + JITTER_WIDTH * (_van_der_corput(index + 1) - 0.5) for index in range(len(points))]
        axes.scatter(across, points, s=15, color=colour, alpha=0.8, linewidths=0, zorder=3)
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


def _van_der_corput(index: int) -> float:
    """Return a number between 0 and 1, far from those of earlier indices (van der Corput's sequence, base 2)."""
    number, share = 0.0, 0.5
    while index:
        number += share * (index & 1)
        index >>= 1
        share /= 2
    return number
