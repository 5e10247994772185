"""The typical ratio of the response times against the speed of compute, a line for each comparison."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter

from collect.analysis import wording
from collect.analysis.claims import PAPER_RATIO
from collect.report.picture import COLOURS, COLUMN, FAINT, GREY, INK, SMALL, Picture, wrapped

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

    from collect.analysis.rescaling import Crossing, Rescaled, Rescaling
    from collect.analysis.summary import Analysis, Comparison
    from collect.run import Run

TICKS = (0.1, 1.0, 10.0, 100.0)
RATIOS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0)
# The band is drawn beyond its line's ends by this factor, where the limits stand.
MARGIN = 3.0


def pictures(_: Run, analysis: Analysis) -> Iterator[Picture]:
    """Yield the line of each comparison whose phases are recorded on both sides."""
    several = len(analysis.comparisons) > 1
    for comparison in analysis.comparisons:
        if comparison.rescaling is not None:
            yield _picture(comparison, comparison.rescaling, f"ratio-{comparison.subject}" if several else "ratio")


def sample(rescaling: Rescaling) -> str:
    """Return a sentence where not all repetitions were taken, else nothing."""
    if rescaling.used == rescaling.repetitions:
        return ""
    return f" Computed from {rescaling.used} of {rescaling.repetitions} repetitions, evenly spread over the run."


def crossings(found: Sequence[Crossing]) -> str:
    """Return in sentences at which k the ratio is the paper's, with the k at which its interval contains that."""
    if not found:
        return f"At no k is the ratio the paper's {PAPER_RATIO}, nor does its interval contain it."
    if not any(crossing.has_interval for crossing in found):
        places = " and ".join(wording.number(crossing.slower, 2) for crossing in found)
        return f"The ratio is the paper's {PAPER_RATIO} at k = {places} (no interval: too few repetitions)."
    sentences = []
    for crossing in found:
        span = _range(crossing)
        if crossing.slower is None:
            sentences.append(f"At no k {span} is the ratio the paper's {PAPER_RATIO}, but its interval contains it.")
        else:
            where = f"at k = {wording.number(crossing.slower, 2)}"
            sentences.append(f"The ratio is the paper's {PAPER_RATIO} {where} (95 % interval: {span}).")
    return " ".join(sentences)


def _range(crossing: Crossing) -> str:
    low, high = (wording.number(end, 2) for end in (crossing.low, crossing.high))
    if not crossing.low:
        return "whatsoever" if crossing.high is None else f"up to {high}"
    return f"of {low} or more" if crossing.high is None else f"{low} to {high}"


def _limits(comparison: Comparison, rescaling: Rescaling) -> str:
    ends = [
        f"{_estimate(point)} for k to {end} ({part} alone)"
        for point, end, part in ((rescaling.at_zero, 0, "network"), (rescaling.at_infinity, "infinity", "compute"))
        if point.ratio.value is not None
    ]
    return (
        f"The ratio of {comparison.subject} to {comparison.reference} tends to {' and to '.join(ends)}." if ends else ""
    )


def _estimate(point: Rescaled) -> str:
    span = wording.span(point.ratio.low, point.ratio.high, places=2)
    return wording.estimate(point.ratio, places=2) + (f" [{span}]" if point.ratio.low is not None else "")


def _picture(comparison: Comparison, rescaling: Rescaling, name: str) -> Picture:
    found = "" if rescaling.crossings is None else crossings(rescaling.crossings)
    if rescaling.crossings == () and rescaling.at_zero.ratio.low is None:
        found = f"At no k is the ratio the paper's {PAPER_RATIO}."
    said = " ".join(sentence for sentence in (_limits(comparison, rescaling), found) if sentence)
    has_band = any(point.ratio.low is not None for point in rescaling.line)
    band = (
        " The band is the 95 % interval at each k by itself (pointwise), so not one that the whole line lies in."
        if has_band
        else ""
    )
    return Picture(
        name=name,
        alternative=f"Line of the ratio against k. {said}",
        caption="The typical ratio of the response times if compute were k times as slow on both sides and the network "
        f"as measured.{band} {said}{sample(rescaling)}",
        size_inches=(COLUMN, 3.0),
        draw=lambda figure: _draw(figure, comparison, rescaling),
    )


def _draw(figure: Figure, comparison: Comparison, rescaling: Rescaling) -> None:
    axes = figure.subplots()
    axes.set_xscale("log")
    axes.set_yscale("log")
    points = [(point.slower or 0.0, point.ratio) for point in rescaling.line if point.ratio.value]
    first, last = rescaling.line[0].slower or 0.0, rescaling.line[-1].slower or 0.0
    band = [(k, ratio.low, ratio.high) for k, ratio in points if ratio.low and ratio.high]
    lows, highs = [low for _, low, _ in band], [high for _, _, high in band]
    axes.fill_between([k for k, _, _ in band], lows, highs, color=COLOURS[0], alpha=0.2, linewidth=0)
    for ends in (lows, highs):
        axes.plot([k for k, _, _ in band], ends, color=COLOURS[0], linewidth=0.6)
    axes.plot([k for k, _ in points], [ratio.value or 0.0 for _, ratio in points], color=COLOURS[0], linewidth=1.6)
    for point, place in ((rescaling.at_zero, first / MARGIN), (rescaling.at_infinity, last * MARGIN)):
        _limit(axes, point, place)
    axes.axhline(1, color=GREY, linewidth=0.9)
    axes.annotate("no difference", (last, 1), (0, 2), textcoords="offset points", ha="right", fontsize=SMALL)
    if rescaling.crossings is not None:
        axes.axhline(PAPER_RATIO, color=COLOURS[1], linewidth=1.0, linestyle=(0, (5, 3)))
        axes.annotate(
            f"the paper's {PAPER_RATIO}",
            (first, PAPER_RATIO),
            (2, -2),
            textcoords="offset points",
            va="top",
            fontsize=SMALL,
        )
        for crossing in rescaling.crossings:
            _mark(axes, crossing, first, last)
    measured = comparison.response_pair_ratio.value
    if measured:
        axes.plot([1], [measured], "o", color=INK, markersize=4, zorder=4)
        axes.annotate("this run", (1, measured), (5, -3), textcoords="offset points", va="top", fontsize=SMALL)
    axes.set_xlim(first / MARGIN / 1.25, last * MARGIN * 1.25)
    factors(
        axes.xaxis,
        TICKS,
        {first / MARGIN: "\N{RIGHTWARDS ARROW}0", last * MARGIN: "\N{RIGHTWARDS ARROW}\N{INFINITY}"},
    )
    low, high = axes.get_ylim()
    low, high = min(low, 0.5), max(high, 1.3)
    factors(axes.yaxis, [ratio for ratio in RATIOS if low <= ratio <= high])
    axes.set_ylim(low, high)
    axes.set_xlabel("compute k times as slow as in this run")
    names = wrapped(f"{comparison.subject} / {comparison.reference}", 40)
    axes.set_ylabel(f"typical ratio of response times,\n{names}")
    axes.grid(axis="y", color=GREY, alpha=FAINT, linewidth=0.6)


def factors(axis: Axis, places: Sequence[float], others: dict[float, str] | None = None) -> None:
    """Write a logarithmic axis in plain numbers, with marks at places that are none of it."""
    labels = {place: f"1/{1 / place:g}" if place < 1 and others is not None else f"{place:g}" for place in places}
    labels |= others or {}
    axis.set_major_locator(FixedLocator(sorted(labels)))
    axis.set_major_formatter(
        FuncFormatter(lambda value, _: labels.get(min(labels, key=lambda one: abs(one - value)), ""))
    )
    axis.set_minor_formatter(NullFormatter())
    axis.set_minor_locator(FixedLocator([]))


def _limit(axes: Axes, point: Rescaled, place: float) -> None:
    """Draw a limit beside the line's end, with its interval."""
    ratio = point.ratio
    if not ratio.value:
        return
    reach = [[ratio.value - ratio.low], [ratio.high - ratio.value]] if ratio.low and ratio.high else None
    axes.errorbar([place], [ratio.value], yerr=reach, fmt="_", color=COLOURS[0], markersize=7, elinewidth=1, capsize=2)


def _mark(axes: Axes, crossing: Crossing, first: float, last: float) -> None:
    """Draw where the ratio is the paper's: a diamond, and a line over the k at which its interval contains it."""
    if crossing.has_interval:
        low, high = max(crossing.low or 0.0, first), min(crossing.high or last, last)
        if low < high:
            axes.plot([low, high], [PAPER_RATIO] * 2, color=COLOURS[1], linewidth=2.6, solid_capstyle="butt")
    if crossing.slower is not None and first <= crossing.slower <= last:
        axes.plot(crossing.slower, PAPER_RATIO, "D", color=COLOURS[1], markersize=4, zorder=4)
        label = f"k = {wording.number(crossing.slower, 2)}"
        axes.annotate(
            label, (crossing.slower, PAPER_RATIO), (0, 5), textcoords="offset points", ha="center", fontsize=SMALL
        )
