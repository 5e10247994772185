"""How long requests took while links changed: each at its time within its repetition, and when the links did."""

from __future__ import annotations

from collections import defaultdict
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

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


class Change(NamedTuple):
    """A part of an event: what is true of links, or of one node, from then on."""

    event: int
    node: str | None
    shape: str


# When changes took effect, in seconds from the beginning of their repetitions.
Times = dict[Change, list[float]]


def pictures(run: Run, analysis: Analysis) -> Iterator[Picture]:
    """Yield a picture for each scenario whose links changed during its repetitions."""
    by_name = looks([scenario.name for scenario in analysis.scenarios])
    for scenario in analysis.scenarios:
        repetitions = run.measurements.scenarios[scenario.name]
        times, links = _changes(run, repetitions)
        if not times:
            continue
        told = "; ".join(
            f"after {wording.number(float(np.median(at_s)))} s {change.node or ' and '.join(links[change])}: "
            f"{change.shape}"
            for change, at_s in sorted(times.items(), key=lambda one: float(np.median(one[1])))
        )
        unanswered = sum(len(repetition.unanswered) for repetition in repetitions)
        crosses = f" Crosses: the {unanswered} that were not answered, and failed then." if unanswered else ""
        yield Picture(
            name=f"changes-{scenario.name}",
            alternative=f"Points: the response time of each request of {scenario.name} by when it was due.{crosses} "
            f"{told}.",
            caption=f"{scenario.name}: each request of all repetitions, by when it was due within its repetition."
            f"{crosses} Vertical lines: when something changed, as the nodes recorded it: {told}.",
            size_inches=(COLUMN, 2.6),
            draw=partial(_draw, repetitions=repetitions, times=times, colour=by_name[scenario.name].colour),
        )


def _began_ns(repetition: Repetition) -> int:
    return min(request.intended_ns for request in repetition.all_requests)


def _changes(run: Run, repetitions: Sequence[Repetition]) -> tuple[Times, dict[Change, list[str]]]:
    """Return when the events during repetitions took effect, and the links that each was about."""
    times: Times = defaultdict(list)
    links: dict[Change, list[str]] = defaultdict(list)
    for repetition in repetitions:
        began_ns = _began_ns(repetition)
        records = run.measurements.changes_of(repetition)
        # What becomes of the links of a node that is cut off is told by the node.
        cut = {(one.event, one.source) for one in records if one.target is None}
        for record in records:
            if record.planned_ns is None or record.changed_ns is None:
                continue
            if record.target is not None and {(record.event, record.source), (record.event, record.target)} & cut:
                continue
            change = Change(record.event, record.source if record.target is None else None, record.shape)
            times[change].append((record.changed_ns - began_ns) / NS_PER_S)
            path = f"{record.source} → {record.target}"
            if path not in links[change]:
                links[change].append(path)
    return dict(times), dict(links)


def _draw(figure: Figure, repetitions: Sequence[Repetition], times: Times, colour: str) -> None:
    axes: Axes = figure.subplots()
    answered, unanswered = [], []
    for repetition in repetitions:
        began_ns = _began_ns(repetition)
        answered += [
            ((request.intended_ns - began_ns) / NS_PER_S, 1000 * response_s(request, "due"))
            for request in repetition.requests
        ]
        unanswered += [(request.intended_ns - began_ns) / NS_PER_S for request in repetition.unanswered]
    due_s, took_ms = np.array(answered[:: max(1, len(answered) // MOST_POINTS)]).T
    axes.plot(due_s, took_ms, ".", color=colour, markersize=3)
    # How long they took says nothing of those that were answered: they stand at the top.
    unanswered = unanswered[:: max(1, len(unanswered) // MOST_POINTS)]
    axes.plot(unanswered, [0.97] * len(unanswered), "x", color=colour, transform=axes.get_xaxis_transform())
    for actual_s in list(times.values())[:MOST_LINES]:
        for at_s in actual_s[:: max(1, len(actual_s) // MOST_LINES)]:
            axes.axvline(at_s, color=GREY, linewidth=0.6)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("due, since the repetition began (s)")
    axes.set_ylabel("response time (ms)")
    axes.grid(color=GREY, alpha=FAINT, linewidth=0.6)
