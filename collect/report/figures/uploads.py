"""The uploads of each scenario beside the bounds of their links."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from collect.analysis import wording
from collect.analysis.traffic import upload_s
from collect.report.figures import boxes
from collect.report.looks import looks
from collect.report.picture import COLUMN, FAINT, GREY, INK, Picture, wrapped

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from collect.analysis.repetitions import Repetition
    from collect.analysis.summary import Analysis
    from collect.analysis.traffic import Upload
    from collect.run import Run

CAPTION = (
    "Uploads until the gateway's TCP has acknowledged the last byte, each point a request (of more than "
    f"{boxes.MOST_POINTS} only the box)."
)
SLOW_START = " Bar: the round trips that slow start takes without a loss."
RENO = " Diamond: what a Reno connection would take in the long run, by the formula; no lower bound."


def pictures(run: Run, analysis: Analysis) -> Iterator[Picture]:
    """Yield the uploads, where any were timed."""
    uploads = {s.name: s.traffic.upload for s in analysis.scenarios if s.traffic.upload is not None}
    if not uploads:
        return
    values = {name: np.fromiter(_seconds(run.measurements.scenarios[name]), float, uploads[name].n) for name in uploads}
    medians = "; ".join(f"{name}: median {wording.number(upload.median_s)} s" for name, upload in uploads.items())
    names = [scenario.name for scenario in analysis.scenarios]
    yield Picture(
        name="uploads",
        alternative=f"Box plots of the uploads, with their bounds. {medians}.",
        caption=CAPTION
        + (SLOW_START if any(upload.bounds for upload in uploads.values()) else "")
        + (RENO if any(upload.bounds and upload.bounds.reno_s for upload in uploads.values()) else ""),
        size_inches=(COLUMN, 0.9 + 0.45 * len(uploads)),
        draw=lambda figure: _draw(figure, values, uploads, names),
    )


def _seconds(repetitions: Iterable[Repetition]) -> Iterator[float]:
    for repetition in repetitions:
        for request in repetition.requests:
            if (seconds := upload_s(request)) is not None:
                yield seconds


def _draw(
    figure: Figure, values: Mapping[str, NDArray[np.float64]], uploads: Mapping[str, Upload], names: list[str]
) -> None:
    axes = figure.subplots()
    axes.set_xscale("log")
    by_name = looks(names)
    for place, (name, points) in enumerate(values.items()):
        colour, marker = by_name[name]
        style = boxes.box_style(colour, (colour, boxes.TINT))
        axes.boxplot(points, positions=[place], widths=boxes.BOX_WIDTH, orientation="horizontal", **style)
        if len(points) <= boxes.MOST_POINTS:
            axes.scatter(
                points, boxes.across(place, len(points)), s=6, color=colour, marker=marker, linewidths=0, zorder=3
            )
        bounds = uploads[name].bounds
        if bounds is None:
            continue
        ends = [place - 0.32, place + 0.32]
        axes.plot([bounds.slow_start_s] * 2, ends, color=INK, linewidth=2, label="slow start")
        if bounds.reno_s is not None:
            axes.plot([bounds.reno_s], [place], "D", mfc="none", mec=INK, ms=4.5, zorder=4, label="Reno's formula")
    axes.set_yticks(range(len(values)), [wrapped(name, 16) for name in values])
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(len(values) - 0.4, -0.6)
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("upload (s)")
    axes.grid(axis="x", color=GREY, alpha=FAINT, linewidth=0.6)
    handles, labels = axes.get_legend_handles_labels()
    if labels:
        one_each = dict(zip(labels, handles, strict=True))
        figure.legend(one_each.values(), one_each.keys(), loc="outside upper left", ncols=2, frameon=False)
