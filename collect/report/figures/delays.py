"""The delays of the probes on each link, as histograms against their targets."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

from collect.report.picture import COLOURS, COLUMN, INK, PAGE, SMALL, Picture, wrapped

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from collect.analysis.summary import Analysis
    from collect.links import Histogram, LinkCheck
    from collect.run import Run

    # When it was taken (before, after), the check, and its histogram, which is there.
    Check = tuple[str, LinkCheck, Histogram]

PANELS = 12
COLUMNS = 4
# A title's letters in a row of this many panels, or in one that has a column for itself.
LETTERS = {4: 24, 3: 32, 2: 48, 1: 48}
CAPTION = (
    "Delays of the probes on each link, before and after the measurement, against the expected distribution: the "
    "link's own on top of the delay of the unshaped path."
)


def pictures(run: Run, _: Analysis) -> Iterator[Picture]:
    """Yield the histograms of the links that have one; links with a problem come first, so none is left out."""
    checks = _checks(run)
    if not checks:
        return
    shown = sorted(checks.values(), key=lambda of_link: all(check.ok for _, check, _ in of_link))[:PANELS]
    columns = min(COLUMNS, len(shown))
    rows = math.ceil(len(shown) / columns)
    omitted = f" {len(checks) - len(shown)} more links are not shown." if len(checks) > len(shown) else ""
    yield Picture(
        name="links",
        alternative=f"Histograms of the delays of {len(shown)} links before and after measuring, each with its target.",
        caption=f"{CAPTION}{omitted}",
        size_inches=(PAGE if columns > 1 else COLUMN, 1.4 * rows + 0.8),
        draw=lambda figure: _panels(figure, shown, rows, columns),
        wide=columns > 1,
    )


def _checks(run: Run) -> dict[str, list[Check]]:
    checks: dict[str, list[Check]] = {}
    for moment, report in run.verifications.items():
        for link in report.links:
            if link.histogram is not None and any(link.histogram.counts):
                checks.setdefault(link.name, []).append((moment, link, link.histogram))
    return checks


def _panels(figure: Figure, shown: Sequence[Sequence[Check]], rows: int, columns: int) -> None:
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in list(grid.flat)[len(shown) :]:
        axes.set_axis_off()
    for axes, checks in zip(grid.flat, shown, strict=False):
        _histograms(axes, checks, LETTERS[columns])
    handles, labels = grid.flat[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper left", ncols=3, frameon=False)
    figure.supxlabel("delay (ms)", fontsize=8)
    figure.supylabel("density (1/ms)", fontsize=8)


def _histograms(axes: Axes, checks: Sequence[Check], letters: int) -> None:
    for moment, _, histogram in checks:
        edges = np.asarray(histogram.edges_ms)
        counts = np.asarray(histogram.counts)
        density = counts / counts.sum() / np.diff(edges)
        if moment == "before":
            axes.stairs(
                density,
                edges,
                fill=True,
                facecolor=(COLOURS[0], 0.3),
                edgecolor=COLOURS[0],
                linewidth=0.8,
                label="before",
            )
        else:
            axes.stairs(density, edges, color=INK, linewidth=0.9, label="after")
    _, link, first = checks[0]
    delay_ms, sigma_ms = (link.expected.median_ms, link.expected.sigma_ms) if link.expected else (0.0, 0.0)
    if first.target:
        edges, should = np.asarray(first.edges_ms), np.asarray(first.target)
        density = should / should.sum() / np.diff(edges)
        # The outer bins hold all that is beyond them.
        axes.plot(
            (edges[1:-2] + edges[2:-1]) / 2,
            density[1:-1],
            color=COLOURS[1],
            linewidth=1.2,
            linestyle="--",
            label="target",
        )
    elif sigma_ms > 0:
        delays = np.linspace(max(0.0, delay_ms - 4 * sigma_ms), delay_ms + 4 * sigma_ms, 121)
        axes.plot(
            delays,
            stats.norm.pdf(delays, delay_ms, sigma_ms),
            color=COLOURS[1],
            linewidth=1.2,
            linestyle="--",
            label="target",
        )
    else:
        axes.axvline(delay_ms, color=COLOURS[1], linewidth=1.2, linestyle="--", label="target")
    axes.set_title(wrapped(link.name + ("" if link.clock == "shared" else " and back"), letters))
    axes.tick_params(labelsize=SMALL)
    axes.locator_params(nbins=4)
