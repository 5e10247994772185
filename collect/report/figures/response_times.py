"""Fig. 5a: the response time of each scenario as a box plot."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from collect.analysis import wording
from collect.report.figures import boxes
from collect.report.picture import Picture

if TYPE_CHECKING:
    from collections.abc import Iterator

    from matplotlib.figure import Figure

    from collect.analysis.summary import Analysis
    from collect.run import Run


def pictures(run: Run, analysis: Analysis) -> Iterator[Picture]:
    """Yield the box plot of the response times in seconds, from zero."""
    summaries = {scenario.name: scenario.response_s for scenario in analysis.scenarios}
    values = {name: np.array([r.response_s for r in run.measurements.scenarios[name]]) for name in summaries}
    medians = "; ".join(f"{name}: median {wording.number(summary.median)} s" for name, summary in summaries.items())

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        boxes.draw(axes, values, summaries, list(summaries))
        axes.set_ylabel("response time (s)")
        axes.set_ylim(0, 1.06 * max(summary.maximum for summary in summaries.values()))

    yield Picture(
        name="fig5a",
        alternative=f"Box plots of the response time. {medians}.",
        caption=f"Fig. 5a: response time. {boxes.reading(values)}",
        size_inches=boxes.size_inches(values),
        draw=draw,
        wide=boxes.is_wide(values),
    )
