"""The figures of the report and the section in which each stands.

A new figure is a module here, whose function yields its pictures from a run and its analysis (none when the run does
not hold what it shows), and a line in ``FIGURES``. The page places whatever stands there, section by section, in the
order of the tuple.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from collect.report.figures import (
    arrived,
    base_stations,
    changes,
    delays,
    phases,
    qualities,
    ratio,
    ratio_apart,
    response_times,
    sweep,
    timeline,
    uploads,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from collect.analysis.summary import Analysis
    from collect.report.picture import Picture
    from collect.run import Run

    Figure = Callable[[Run, Analysis], Iterable[Picture]]

# The sections of the page, by the id of each.
Section = Literal["sweep", "results", "table", "claims", "phases", "rescaling", "links", "repetitions"]

FIGURES: tuple[tuple[Section, Figure], ...] = (
    ("sweep", sweep.pictures),
    ("results", response_times.pictures),
    ("results", qualities.pictures),
    ("table", base_stations.pictures),
    ("phases", phases.pictures),
    ("phases", uploads.pictures),
    ("phases", arrived.pictures),
    ("phases", changes.pictures),
    ("rescaling", ratio.pictures),
    ("rescaling", ratio_apart.pictures),
    ("links", delays.pictures),
    ("repetitions", timeline.pictures),
)


# Boxes of more points than these are no figure; a sweep has its own.
MOST_BOXES = 24


def pictures(run: Run, analysis: Analysis) -> Iterator[tuple[Section, Picture]]:
    """Yield a run's pictures, each with its section, not yet drawn."""
    too_many = analysis.sweep is not None and len(analysis.scenarios) > MOST_BOXES
    for section, figure in FIGURES:
        if too_many and section == "results":
            continue
        for picture in figure(run, analysis):
            yield section, picture
