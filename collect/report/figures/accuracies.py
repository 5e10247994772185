"""Fig. 5b: the test accuracy of each scenario as a box plot, with the pairs of repetitions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from collect.report.figures import boxes
from collect.report.picture import Picture

if TYPE_CHECKING:
    from collections.abc import Iterator

    from matplotlib.figure import Figure

    from collect.analysis.summary import Analysis
    from collect.run import Run


# With more the lines are one grey area.
MOST_PAIRS = 100
LINES = " A line connects the repetitions of a pair, which have the same split of the data."


def pictures(run: Run, analysis: Analysis) -> Iterator[Picture]:
    """Yield the box plot of the accuracies of the test set, if any repetition has one."""
    summaries = {scenario.name: scenario.accuracy for scenario in analysis.scenarios if scenario.accuracy is not None}
    if not summaries:
        return
    scored = {name: [r for r in run.measurements.scenarios[name] if r.accuracy is not None] for name in summaries}
    values = {name: np.array([r.accuracy or 0.0 for r in repetitions]) for name, repetitions in scored.items()}
    pairs = {name: [r.pair for r in repetitions] for name, repetitions in scored.items()}
    paired = len(values) > 1 and max(map(len, values.values())) <= MOST_PAIRS
    medians = "; ".join(f"{name}: median {summary.median:.3f}" for name, summary in summaries.items())

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        boxes.draw(axes, values, summaries, [scenario.name for scenario in analysis.scenarios])
        if paired:
            boxes.connect(axes, values, pairs)
        axes.set_ylabel("test accuracy (share of texts)")

    yield Picture(
        name="fig5b",
        alternative=f"Box plots of the test accuracy. {medians}.",
        caption=f"Fig. 5b: test accuracy. {boxes.reading(values)}{LINES if paired else ''}",
        size_inches=boxes.size_inches(values),
        draw=draw,
        wide=boxes.is_wide(values),
    )
