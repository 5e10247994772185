"""How long requests took while links changed: each at its time within its repetition, and when the links did."""

from __future__ import annotations

from collections import defaultdict
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from collect.analysis import wording
from collect.analysis.arrived import NS_PER_S, response_s
from collect.report.looks import looks
from collect.report.picture import COLUMN, FAINT, GREY, Picture

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from collect.analysis.repetitions import Repetition
    from collect.analysis.summary import Analysis
    from collect.run import Run

# More changes than these are a trace: lines for each would cover what they are about.
MOST_LINES = 60
# More points than a figure of this size shows.
MOST_POINTS = 20_000

# When the changes of an event took effect, in seconds from the beginning of their repetitions, by the event's number.
Times = dict[int, list[float]]


def pictures(run: Run, analysis: Analysis) -> Iterator[Picture]:
    """Yield a picture for each scenario whose links changed during its repetitions."""
    by_name = looks([scenario.name for scenario in analysis.scenarios])
    for scenario in analysis.scenarios:
        repetitions = run.measurements.scenarios[scenario.name]
        times, shapes = _changes(run, repetitions)
        if not times:
            continue
        told = "; ".join(
            f"after {wording.number(float(np.median(times[number])))} s {shape}" for number, shape in shapes.items()
        )
        yield Picture(
            name=f"changes-{scenario.name}",
            alternative=f"Points: the response time of each request of {scenario.name} by when it was due. {told}.",
            caption=f"{scenario.name}: each request of all repetitions, by when it was due within its repetition. "
            f"Vertical lines: when links took other values, as the nodes recorded it: {told}.",
            size_inches=(COLUMN, 2.6),
            draw=partial(_draw, repetitions=repetitions, times=times, colour=by_name[scenario.name].colour),
        )


def _began_ns(repetition: Repetition) -> int:
    return min(request.intended_ns for request in repetition.requests)


def _changes(run: Run, repetitions: Sequence[Repetition]) -> tuple[Times, dict[int, str]]:
    """Return when the events during repetitions took effect, and what the links then were."""
    times: Times = defaultdict(list)
    shapes: dict[int, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for repetition in repetitions:
        began_ns = _began_ns(repetition)
        for change in run.measurements.changes_of(repetition):
            if change.planned_ns is None or change.changed_ns is None:
                continue
            times[change.event].append((change.changed_ns - began_ns) / NS_PER_S)
            links = shapes[change.event][change.shape]
            path = f"{change.source} → {change.target}"
            if path not in links:
                links.append(path)
    told = {
        event: ", ".join(f"{' and '.join(links)}: {shape}" for shape, links in of_event.items())
        for event, of_event in sorted(shapes.items())
    }
    return dict(times), told


def _draw(figure: Figure, repetitions: Sequence[Repetition], times: Times, colour: str) -> None:
    axes: Axes = figure.subplots()
    points = [
        ((request.intended_ns - began_ns) / NS_PER_S, 1000 * response_s(request, "due"))
        for repetition in repetitions
        for began_ns in [_began_ns(repetition)]
        for request in repetition.requests
    ]
    due_s, took_ms = np.array(points[:: max(1, len(points) // MOST_POINTS)]).T
    axes.plot(due_s, took_ms, ".", color=colour, markersize=3)
    for actual_s in list(times.values())[:MOST_LINES]:
        for at_s in actual_s[:: max(1, len(actual_s) // MOST_LINES)]:
            axes.axvline(at_s, color=GREY, linewidth=0.6)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("due, since the repetition began (s)")
    axes.set_ylabel("response time (ms)")
    axes.grid(color=GREY, alpha=FAINT, linewidth=0.6)
