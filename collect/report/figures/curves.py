"""The figures beside Fig. 5: phases, the ratio against the speed of compute, and the delays of the links."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

from collect.analysis import phases
from collect.analysis.claims import PAPER_RATIO
from collect.report.picture import COLOURS, GREY, INK, Picture

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from collect.analysis.summary import Analysis, Comparison
    from collect.links import Histogram, LinkCheck, LinkReport

# Blues for what the network does, oranges for what the processor does, dark to light in the order of time.
PHASE_COLOURS = {
    "upload": "#08519C",
    "wait": "#4292C6",
    "read": "#9ECAE1",
    "queue": "#6BAED6",
    "parse": "#7F2704",
    "vectorise": "#D94801",
    "search": "#F78B2D",
    "fit": "#FDC38D",
    "download": "#C6DBEF",
}
OTHER_COLOUR = "#8C6D31"
# A label is written into a bar that takes at least this share of the longest one.
LABEL_SHARE = 0.07
# Of 255, as the eye weighs the three colours.
HALF_BRIGHT = 140
PANELS = 12
COLUMNS = 4


def figure_phases(analysis: Analysis) -> Picture | None:
    """Return the stacked bar of the median phases of each scenario, or ``None`` when no phases are known."""
    regimes = {s.name: s.regime for s in analysis.scenarios if s.regime is not None}
    if not regimes:
        return None
    names = phases.names(regimes.values())
    longest = max(sum(regime.phases_s.values()) for regime in regimes.values())

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        for place, regime in enumerate(regimes.values()):
            left = 0.0
            for name in names:
                width = regime.phases_s.get(name, 0.0)
                colour = PHASE_COLOURS.get(name, OTHER_COLOUR)
                axes.barh(place, width, left=left, height=0.56, color=colour, label=name if place == 0 else None)
                if width > LABEL_SHARE * longest:
                    ink = "white" if _is_dark(colour) else "#111111"
                    label = f"{width:.2g} s"
                    axes.text(left + width / 2, place, label, ha="center", va="center", color=ink, fontsize=8.5)
                left += width
        axes.set_yticks(range(len(regimes)), list(regimes))
        axes.invert_yaxis()
        axes.tick_params(axis="y", length=0)
        axes.set_xlabel("median time (s)")
        axes.set_xlim(left=0)
        figure.legend(
            loc="outside upper left", ncols=len(names), frameon=False, fontsize=8.5, handlelength=1, columnspacing=1
        )

    said = "; ".join(f"{name}: {regime.word}, {regime.network_share:.0%} network" for name, regime in regimes.items())
    caption = (
        "Where the time goes: medians of the phases of the request that came back last in each repetition. Blue is the "
        "network and the gateway, orange the function's compute. Medians of parts need not add up to the whole's."
    )
    height = 1.35 + 0.55 * len(regimes)
    return Picture("phases", f"Stacked bars of the phases. {said}.", caption, (8.4, height), draw)


def figure_ratio(comparison: Comparison, name: str) -> Picture | None:
    """Return the line of the ratio of medians against the slowness of compute, or ``None`` when phases are unknown."""
    rescaling = comparison.rescaling
    if rescaling is None:
        return None
    points = [point for point in rescaling.line if point.ratio.value is not None]
    factors = [point.slower for point in points]

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
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
        axes.text(
            factors[-1], PAPER_RATIO, "the paper's 0.75 ", ha="right", va="bottom", color=COLOURS[1], fontsize=8.5
        )
        axes.text(factors[-1], 1, "no difference ", ha="right", va="bottom", fontsize=8.5)
        measured = comparison.response_ratio.value
        if measured is not None:
            axes.plot([1], [measured], "o", color=INK, markersize=5, zorder=4)
            axes.annotate("this run", (1, measured), (6, -4), textcoords="offset points", va="top", fontsize=8.5)
        for factor in rescaling.paper_at:
            axes.plot([factor], [PAPER_RATIO], "D", color=COLOURS[1], markersize=5, zorder=4)
            axes.annotate(
                f"k = {factor:.2g}",
                (factor, PAPER_RATIO),
                (0, 6),
                textcoords="offset points",
                ha="center",
                fontsize=8.5,
            )
        axes.set_xscale("log")
        axes.set_xticks([0.1, 1, 10, 100], ["1/10", "1", "10", "100"])
        axes.set_xlim(factors[0], factors[-1])
        axes.set_ylim(bottom=0)
        axes.set_ylim(top=max(axes.get_ylim()[1], 1.1))
        axes.set_xlabel("compute k times as slow as in this run")
        axes.set_ylabel(f"median response time,\n{comparison.subject} / {comparison.reference}")
        axes.grid(axis="y", color=GREY, alpha=0.3, linewidth=0.6)

    caption = (
        "The ratio of the median response times if compute were k times as slow and the network as measured; the band "
        "is the 95 % bootstrap interval."
    )
    said = _meets(comparison)
    return Picture(name, f"Line of the ratio against k. {said}", f"{caption} {said}", (5.0, 3.4), draw)


def figure_links(before: LinkReport | None, after: LinkReport | None) -> Picture | None:
    """Return the delay histograms of the links against their targets, or ``None`` when no link has one."""
    found: dict[str, list[tuple[str, LinkCheck, Histogram]]] = {}
    for moment, report in (("before", before), ("after", after)):
        for link in report.links if report is not None else ():
            if link.histogram is not None and any(link.histogram.counts):
                found.setdefault(link.name, []).append((moment, link, link.histogram))
    if not found:
        return None
    # The links with a problem first, so that none of them is left out.
    shown = sorted(found.values(), key=lambda checks: all(link.ok for _, link, _ in checks))[:PANELS]
    columns = min(COLUMNS, len(shown))
    rows = math.ceil(len(shown) / columns)

    def draw(figure: Figure) -> None:
        grid = figure.subplots(rows, columns, squeeze=False)
        for axes in list(grid.flat)[len(shown) :]:
            axes.set_axis_off()
        for axes, checks in zip(grid.flat, shown, strict=False):
            _histograms(axes, checks)
        handles, labels = grid.flat[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper left", ncols=3, frameon=False, fontsize=8.5)
        figure.supxlabel("delay (ms)", fontsize=9.5)
        figure.supylabel("density (1/ms)", fontsize=9.5)

    left_out = f" {len(found) - len(shown)} more links are left out here." if len(found) > len(shown) else ""
    caption = (
        "Delays of the probes on each link, before and after measuring, against the distribution they should have: the "
        f"link's own on top of what the path takes without it.{left_out}"
    )
    said = f"Histograms of the delays of {len(shown)} links before and after measuring, each with its target."
    return Picture("links", said, caption, (2.15 * columns + 0.5, 1.55 * rows + 0.9), draw)


def _histograms(axes: Axes, checks: list[tuple[str, LinkCheck, Histogram]]) -> None:
    for moment, _, histogram in checks:
        edges = np.asarray(histogram.edges_ms)
        counts = np.asarray(histogram.counts)
        density = counts / counts.sum() / np.diff(edges)
        if moment == "before":
            axes.stairs(density, edges, fill=True, color=COLOURS[0], alpha=0.35, label="before")
        else:
            axes.stairs(density, edges, color=INK, linewidth=0.9, label="after")
    _, link, first = checks[0]
    delay_ms, sigma_ms = link.aim_ms
    if first.target:
        edges, should = np.asarray(first.edges_ms), np.asarray(first.target)
        density = should / should.sum() / np.diff(edges)
        # The outer bins hold all that is beyond them.
        axes.plot((edges[1:-2] + edges[2:-1]) / 2, density[1:-1], color=COLOURS[1], linewidth=1.2, label="target")
    elif sigma_ms > 0:
        delays = np.linspace(max(0.0, delay_ms - 4 * sigma_ms), delay_ms + 4 * sigma_ms, 121)
        axes.plot(delays, stats.norm.pdf(delays, delay_ms, sigma_ms), color=COLOURS[1], linewidth=1.2, label="target")
    else:
        axes.axvline(delay_ms, color=COLOURS[1], linewidth=1.2, label="target")
    axes.set_title(link.name + ("" if link.clock == "shared" else " and back"), fontsize=8.5, fontweight="normal")
    axes.tick_params(labelsize=8)
    axes.locator_params(nbins=4)


def _meets(comparison: Comparison) -> str:
    met = comparison.rescaling.paper_at if comparison.rescaling else ()
    if not met:
        return "Within this range the ratio is never the paper's 0.75."
    return f"The ratio would be the paper's 0.75 at k = {' and '.join(f'{factor:.2g}' for factor in met)}."


def _is_dark(colour: str) -> bool:
    red, green, blue = (int(colour[place : place + 2], 16) for place in (1, 3, 5))
    return 0.299 * red + 0.587 * green + 0.114 * blue < HALF_BRIGHT
