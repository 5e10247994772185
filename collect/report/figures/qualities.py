"""Fig. 5b: how good the replies of each scenario were, a box plot for each measure, with the pairs of repetitions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from collect.analysis import wording
from collect.analysis.quality import TEST_ACCURACY
from collect.report.figures import boxes
from collect.report.picture import Picture, wrapped

if TYPE_CHECKING:
    from collections.abc import Iterator

    from matplotlib.figure import Figure

    from collect.analysis.quality import Measure
    from collect.analysis.summary import Analysis
    from collect.run import Run


# With more the lines are one grey area.
MOST_PAIRS = 100
# So many letters of a measure's name fit along the axis.
LETTERS = 36
LINES = " A line connects the repetitions of a pair, which have the same data."


def pictures(run: Run, analysis: Analysis) -> Iterator[Picture]:
    """Yield a box plot for each measure of which any repetition has a value."""
    measures = dict.fromkeys(one.measure for scenario in analysis.scenarios for one in scenario.qualities)
    for number, measure in enumerate(measures):
        # A measure's name comes from a scenario, so it is no part of a file's.
        yield _picture(run, analysis, measure, "fig5b" if number == 0 else f"fig5b-{number + 1}")


def _picture(run: Run, analysis: Analysis, measure: Measure, name: str) -> Picture:
    summaries = {
        scenario.name: scored.summary
        for scenario in analysis.scenarios
        for scored in scenario.qualities
        if scored.measure == measure
    }
    values, pairs = {}, {}
    for scenario in summaries:
        known = [(v, r.pair) for r in run.measurements.scenarios[scenario] if (v := r.quality(measure)) is not None]
        values[scenario] = np.array([value for value, _ in known])
        pairs[scenario] = [pair for _, pair in known]
    paired = len(values) > 1 and max(map(len, values.values())) <= MOST_PAIRS
    medians = "; ".join(f"{name}: median {wording.number(summary.median)}" for name, summary in summaries.items())

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        boxes.draw(axes, values, summaries, [scenario.name for scenario in analysis.scenarios])
        if paired:
            boxes.connect(axes, values, pairs)
        axes.set_ylabel(wrapped(measure.label, LETTERS, 2))

    of = "" if measure == TEST_ACCURACY else f" in the function's replies, {measure.better} is better"
    return Picture(
        name=name,
        alternative=f"Box plots of the {measure.name}. {medians}.",
        caption=f"Fig. 5b: {measure.name}{of}. {boxes.reading(values)}{LINES if paired else ''}",
        size_inches=boxes.size_inches(values),
        draw=draw,
        wide=boxes.is_wide(values),
    )
