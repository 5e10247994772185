"""Fig. 5b: the test accuracy of each scenario as a box plot."""

from __future__ import annotations

from typing import TYPE_CHECKING

from collect.report.figures import boxes
from collect.report.picture import Picture

if TYPE_CHECKING:
    from collections.abc import Iterator

    from matplotlib.figure import Figure

    from collect.analysis.summary import Analysis
    from collect.run import Run


def pictures(run: Run, analysis: Analysis) -> Iterator[Picture]:
    """Yield the box plot of the accuracies of the test set, if any repetition has one."""
    summaries = {scenario.name: scenario.accuracy for scenario in analysis.scenarios if scenario.accuracy is not None}
    if not summaries:
        return
    values = {
        name: [r.accuracy for r in run.measurements.scenarios[name] if r.accuracy is not None] for name in summaries
    }
    medians = "; ".join(f"{name}: median {summary.median:.3f}" for name, summary in summaries.items())

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        boxes.draw(axes, values, summaries, [scenario.name for scenario in analysis.scenarios])
        axes.set_ylabel("test accuracy (share of texts)")

    yield Picture(
        name="fig5b",
        alternative=f"Box plots of the test accuracy. {medians}.",
        caption=f"Fig. 5b: test accuracy. {boxes.READING}",
        size_inches=boxes.size_inches(values),
        draw=draw,
    )
