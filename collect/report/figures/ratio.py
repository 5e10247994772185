"""The ratio of the median response times against the speed of compute, a line for each comparison."""

from __future__ import annotations

from typing import TYPE_CHECKING

from collect.analysis.claims import PAPER_RATIO
from collect.report.picture import COLOURS, COLUMN, FAINT, GREY, INK, SMALL, Picture

if TYPE_CHECKING:
    from collections.abc import Iterator

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from collect.analysis.rescaling import Rescaling
    from collect.analysis.summary import Analysis, Comparison
    from collect.run import Run

CAPTION = (
    "The ratio of the median response times if compute were k times as slow and the network as measured; the band is "
    "the 95 % bootstrap interval."
)


def pictures(_: Run, analysis: Analysis) -> Iterator[Picture]:
    """Yield the line of each comparison whose phases are recorded on both sides."""
    several = len(analysis.comparisons) > 1
    for comparison in analysis.comparisons:
        if comparison.rescaling is not None:
            name = f"ratio-{comparison.subject}" if several else "ratio"
            yield _picture(comparison, comparison.rescaling, name)


def _picture(comparison: Comparison, rescaling: Rescaling, name: str) -> Picture:
    crossing = _crossing(rescaling)
    return Picture(
        name=name,
        alternative=f"Line of the ratio against k. {crossing}",
        caption=f"{CAPTION} {crossing}",
        size_inches=(COLUMN, 2.9),
        draw=lambda figure: _draw(figure, comparison, rescaling),
    )


def _crossing(rescaling: Rescaling) -> str:
    if not rescaling.paper_at:
        return "Within this range the ratio is never the paper's 0.75."
    return f"The ratio would be the paper's 0.75 at k = {' and '.join(f'{k:.2g}' for k in rescaling.paper_at)}."


def _draw(figure: Figure, comparison: Comparison, rescaling: Rescaling) -> None:
    axes = figure.subplots()
    points = [point for point in rescaling.line if point.ratio.value is not None]
    factors = [point.slower for point in points]
    banded = [p for p in points if p.ratio.low is not None and p.ratio.high is not None]
    axes.fill_between(
        [p.slower for p in banded],
        [p.ratio.low or 0.0 for p in banded],
        [p.ratio.high or 0.0 for p in banded],
        color=COLOURS[0],
        alpha=0.18,
        linewidth=0,
    )
    axes.plot(factors, [p.ratio.value or 0.0 for p in points], color=COLOURS[0], linewidth=1.8)
    axes.axhline(1, color=GREY, linewidth=0.9)
    axes.axhline(PAPER_RATIO, color=COLOURS[1], linewidth=1.1, linestyle=(0, (5, 3)))
    axes.text(factors[-1], PAPER_RATIO, "the paper's 0.75 ", ha="right", va="bottom", color=COLOURS[1], fontsize=SMALL)
    axes.text(factors[-1], 1, "no difference ", ha="right", va="bottom", fontsize=SMALL)
    measured = comparison.response_ratio.value
    if measured is not None:
        axes.plot([1], [measured], "o", color=INK, markersize=5, zorder=4)
        axes.annotate("this run", (1, measured), (6, -4), textcoords="offset points", va="top", fontsize=SMALL)
    for factor in rescaling.paper_at:
        _mark(axes, factor)
    axes.set_xscale("log")
    axes.set_xticks([0.1, 1, 10, 100], ["1/10", "1", "10", "100"])
    axes.set_xlim(factors[0], factors[-1])
    axes.set_ylim(bottom=0)
    axes.set_ylim(top=max(axes.get_ylim()[1], 1.1))
    axes.set_xlabel("compute k times as slow as in this run")
    axes.set_ylabel(f"median response time,\n{comparison.subject} / {comparison.reference}")
    axes.grid(axis="y", color=GREY, alpha=FAINT, linewidth=0.6)


def _mark(axes: Axes, factor: float) -> None:
    place = (factor, PAPER_RATIO)
    axes.plot(*place, "D", color=COLOURS[1], markersize=5, zorder=4)
    axes.annotate(f"k = {factor:.2g}", place, (0, 6), textcoords="offset points", ha="center", fontsize=SMALL)
