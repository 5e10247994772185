"""The response time of each base station, beside that of all together: a box plot for each scenario."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from collect.analysis import wording
from collect.report.figures import boxes
from collect.report.picture import Picture

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from matplotlib.figure import Figure

    from collect.analysis.statistics import Summary
    from collect.analysis.summary import Analysis
    from collect.run import Run

ALL = "all"


def pictures(run: Run, analysis: Analysis) -> Iterator[Picture]:
    """Yield for each scenario that several base stations measured their response times in seconds, from zero."""
    for scenario in analysis.scenarios:
        if scenario.together is None:
            continue
        repetitions = run.measurements.scenarios[scenario.name]
        summaries = {one.base_station: one.response_s for one in scenario.together.base_stations}
        values: dict[str, list[float]] = {name: [] for name in summaries}
        for repetition in repetitions:
            for part in repetition.parts:
                values[part.base_station].append(part.response_s)
        summaries[ALL] = scenario.response_s
        values[ALL] = [repetition.response_s for repetition in repetitions]
        medians = "; ".join(f"{name}: median {wording.number(one.median)} s" for name, one in summaries.items())
        yield Picture(
            name=f"base-stations-{scenario.name}",
            alternative=f"Box plots of the response times of {scenario.name} by base station. {medians}.",
            caption=f"{scenario.name}: response time of each base station and of all together. {boxes.reading(values)}",
            size_inches=boxes.size_inches(values),
            draw=partial(_draw, values={name: np.array(of) for name, of in values.items()}, summaries=summaries),
            wide=boxes.is_wide(values),
        )


def _draw(figure: Figure, *, values: Mapping[str, boxes.Points], summaries: Mapping[str, Summary]) -> None:
    axes = figure.subplots()
    boxes.draw(axes, values, summaries, list(summaries))
    axes.set_ylabel("response time (s)")
    axes.set_ylim(0, 1.06 * max(summary.maximum for summary in summaries.values()))
