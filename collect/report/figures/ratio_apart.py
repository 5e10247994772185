"""The typical ratio of the response times with the compute of either side slowed by itself, as a map."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from collect.analysis import wording
from collect.analysis.claims import PAPER_RATIO
from collect.report.figures import ratio
from collect.report.picture import COLOURS, COLUMN, GREY, INK, SMALL, Picture, wrapped

if TYPE_CHECKING:
    from collections.abc import Iterator

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from collect.analysis.rescaling import Apart, Matrix, Rescaling
    from collect.analysis.summary import Analysis, Comparison
    from collect.run import Run

FINER = 10
LEVELS = (0.01, 0.03, 0.1, 0.3, 3.0, 10.0, 30.0, 100.0)


def pictures(_: Run, analysis: Analysis) -> Iterator[Picture]:
    """Yield the map of each comparison whose phases are recorded on both sides."""
    several = len(analysis.comparisons) > 1
    for comparison in analysis.comparisons:
        rescaling = comparison.rescaling
        # What has no ratio at some k has a side that takes no time there.
        if rescaling is not None and all(all(row) for row in rescaling.apart.ratio):
            yield _picture(comparison, rescaling, f"ratio-apart-{comparison.subject}" if several else "ratio-apart")


def _picture(comparison: Comparison, rescaling: Rescaling, name: str) -> Picture:
    subject, reference = comparison.subject, comparison.reference
    papers = rescaling.crossings is not None
    has_intervals = all(all(row) for row in (*rescaling.apart.low, *rescaling.apart.high))
    paper = f" Dashed: the paper's {PAPER_RATIO}" if papers else ""
    area = ", in the area in which the 95 % interval at that point contains it" if papers and has_intervals else ""
    return Picture(
        name=name,
        alternative=f"Contours of the ratio of {subject} to {reference}, with the compute of either slowed by itself.",
        caption=f"The typical ratio of the response times of {subject} to {reference} if the compute of each were as "
        f"many times as slow as its axis says, and the network as measured: for nodes that are not alike. On the "
        f"dotted line both are slowed alike, as in the figure before.{paper}{area}{'.' if paper else ''}"
        f"{ratio.sample(rescaling)}",
        size_inches=(COLUMN, 3.0),
        draw=lambda figure: _draw(figure, comparison, rescaling.apart, papers=papers, has_intervals=has_intervals),
    )


def _draw(figure: Figure, comparison: Comparison, apart: Apart, *, papers: bool, has_intervals: bool) -> None:
    axes = figure.subplots()
    values, target = _log(apart.ratio), np.log(PAPER_RATIO)
    low, high = (float(np.log10(end)) for end in (apart.slower[0], apart.slower[-1]))
    places = np.linspace(low, high, len(values))
    if papers and has_intervals:
        # Not above zero where the interval contains the paper's ratio.
        outside = np.maximum(_log(apart.low) - target, target - _log(apart.high))
        axes.contourf(places, places, outside, levels=[-np.inf, 0], colors=[COLOURS[1]], alpha=0.25)
    _contours(axes, places, values, LEVELS, GREY, 0.8, "-")
    _contours(axes, places, values, (1.0,), INK, 1.4, "-")
    if papers:
        _contours(axes, places, values, (PAPER_RATIO,), COLOURS[1], 1.4, "--")
    axes.plot((low, high), (low, high), color=GREY, linewidth=1, linestyle=":")
    axes.plot([0], [0], "o", color=INK, markersize=4, zorder=4)
    axes.annotate("this run", (0, 0), (5, -3), textcoords="offset points", va="top", fontsize=SMALL)
    labels = [f"1/{1 / factor:g}" if factor < 1 else f"{factor:g}" for factor in ratio.TICKS]
    axes.set_xticks(np.log10(ratio.TICKS), labels)
    axes.set_yticks(np.log10(ratio.TICKS), labels)
    axes.set_xlim(low, high)
    axes.set_ylim(low, high)
    axes.set_xlabel(wrapped(f"compute of {comparison.reference}, times as slow", 40))
    axes.set_ylabel(wrapped(f"compute of {comparison.subject}, times as slow", 40))


def _contours(
    axes: Axes,
    places: NDArray[np.float64],
    values: NDArray[np.float64],
    levels: tuple[float, ...],
    colour: str,
    width: float,
    style: str,
) -> None:
    within = [level for level in levels if values.min() < np.log(level) < values.max()]
    if not within:
        return
    drawn = axes.contour(
        places, places, values, levels=np.log(within), colors=colour, linewidths=width, linestyles=style
    )
    axes.clabel(drawn, fmt=lambda value: wording.number(float(np.exp(value)), 2), fontsize=SMALL, colors=INK)


def _log(matrix: Matrix) -> NDArray[np.float64]:
    """Return the logarithms of a matrix over k, with more values between, so that an area between two ends is whole."""
    values = np.log(np.asarray(matrix, float))
    return np.asarray(ndimage.zoom(values, (FINER * (len(values) - 1) + 1) / len(values), order=1))
