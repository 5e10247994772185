"""How long single requests took that were not sent together: the share of them that took longer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from collect.analysis import wording
from collect.analysis.arrived import response_s
from collect.report.looks import looks
from collect.report.picture import COLUMN, FAINT, GREY, Picture

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from collect.analysis.arrived import Start
    from collect.analysis.repetitions import Repetition
    from collect.analysis.summary import Analysis
    from collect.run import Run

    Values = NDArray[np.float64]

STYLES: dict[Start, tuple[str, str]] = {"due": ("-", "from when due"), "sent": (":", "from when sent")}
# More points than a line of this width shows.
MOST_POINTS = 1000
# Up to this ratio of the axis's ends 1, 2 and 5 of each decade have their labels.
MOST_LABELLED = 100


def pictures(run: Run, analysis: Analysis) -> Iterator[Picture]:
    """Yield the distribution of response times of requests, where any were not sent together."""
    names = [scenario.name for scenario in analysis.scenarios if scenario.arrived is not None]
    if not names:
        return
    values = {name: _values(run.measurements.scenarios[name]) for name in names}
    medians = "; ".join(
        f"{name}: median {wording.number(float(np.median(of['due'])))} s" for name, of in values.items()
    )
    yield Picture(
        name="requests",
        alternative=f"Lines that fall from 100 %: which share of the requests took longer than a time. {medians}.",
        caption="Share of all requests that took longer, warm-ups and failed repetitions left out. Where the dotted "
        "line, counted from when a request was sent, is left of the other, requests waited for the base station.",
        size_inches=(COLUMN, 2.6),
        draw=lambda figure: _draw(figure, values, [scenario.name for scenario in analysis.scenarios]),
    )


def _values(repetitions: Sequence[Repetition]) -> dict[Start, Values]:
    requests = [request for repetition in repetitions for request in repetition.requests]
    return {start: np.sort([response_s(request, start) for request in requests]) for start in STYLES}


def _draw(figure: Figure, values: Mapping[str, Mapping[Start, Values]], names: Sequence[str]) -> None:
    axes: Axes = figure.subplots()
    by_name = looks(names)
    for name, of_starts in values.items():
        for start, sorted_s in of_starts.items():
            line, words = STYLES[start]
            beyond = 1 - np.arange(len(sorted_s)) / len(sorted_s)
            # Evenly in the logarithm of the share, so that the tail keeps its points.
            places = np.unique(np.searchsorted(-beyond, -np.geomspace(1, beyond[-1], MOST_POINTS)))
            places = places[places < len(sorted_s)]
            colour = by_name[name].colour
            axes.step(
                sorted_s[places],
                beyond[places],
                line,
                where="pre",
                color=colour,
                linewidth=1.4,
                label=f"{name}, {words}",
            )
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_ylim(top=1.15)
    low, high = axes.get_xlim()
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if high / low < MOST_LABELLED else (1.0,)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:g} %"))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("response time (s)")
    axes.set_ylabel("requests that took longer")
    axes.grid(color=GREY, alpha=FAINT, linewidth=0.6)
    figure.legend(loc="outside upper left", ncols=1 if len(names) > 1 else 2, frameon=False)
