"""The run over time: each repetition at its start, failures and verifications, and how busy the machines were."""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np

from collect.report.looks import looks
from collect.report.picture import FAINT, GREY, INK, PAGE, SMALL, Picture

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from collect.analysis.summary import Analysis
    from collect.load import Load
    from collect.run import Run

    Values = NDArray[np.float64]

# More machines than these are not drawn, the busiest come first.
MACHINES = 6
# A line of more points than these shows the mean of as many equal parts of the run.
POINTS = 600
# A scenario of more repetitions than these shows the median and range of as many parts as a line has points.
MOST_POINTS = 2000
# Without samples for so long a line is broken: the run was cut off and resumed.
GAP_S = 10.0
# What of a machine is drawn: the field of a sample, its name, colour and line.
LINES = (
    ("cpu_percent", "CPU", "#0072B2", "-"),
    ("memory_percent", "memory", GREY, "--"),
    ("steal_percent", "CPU steal", "#D55E00", "-"),
)
CAPTION = (
    "Each repetition at its start on the base station's clock, in the order of measurement; warm-ups are not shown. A "
    "grey line is a verification of the links, on the controller's clock"
)


@dataclass(frozen=True, slots=True)
class _Track:
    """A scenario's repetitions by their starts in seconds since 1970: how long they took, and when others failed."""

    at_s: Values
    took_s: Values
    failed_at_s: Values


def pictures(run: Run, _: Analysis) -> Iterator[Picture]:
    """Yield the figure, if the records say when repetitions began."""
    tracks = _tracks(run)
    if not tracks:
        return
    machines = sorted(run.load, key=lambda load: -max(sample.cpu_percent for sample in load.samples))[:MACHINES]
    failed = sum(len(track.failed_at_s) for track in tracks.values())
    measured = sum(len(track.at_s) for track in tracks.values())
    starts_s = np.concatenate([np.concatenate([track.at_s, track.failed_at_s]) for track in tracks.values()])
    first_s, last_s = float(starts_s.min()), float(starts_s.max())
    minutes = (last_s - first_s) / 60
    caption = f"{CAPTION}{', a cross at the lower edge a failed attempt' if failed else ''}."
    if any(len(track.at_s) > MOST_POINTS for track in tracks.values()):
        caption += (
            f" Of more than {MOST_POINTS} repetitions the line is the median and the area the range of {POINTS} parts."
        )
    if machines:
        caption += (
            " Below: the share of all cores' time that a machine spent computing, and that its hypervisor gave to "
            "others (CPU steal), and the share of its memory in use, sampled once a second."
        )
    else:
        caption += " The load of the nodes is not on record."
    if len(run.load) > len(machines):
        caption += f" {len(run.load) - len(machines)} machines that were less busy are not shown."
    yield Picture(
        name="timeline",
        alternative=(
            f"Response times of {measured} repetitions and {failed} failures over {minutes:.0f} minutes, "
            f"with the load of {len(machines)} machines."
        ),
        caption=caption,
        size_inches=(PAGE, 2.4 + 1.15 * len(machines)),
        draw=lambda figure: _draw(figure, run, tracks, machines, (first_s, last_s)),
        wide=True,
    )


def _tracks(run: Run) -> dict[str, _Track]:
    """Return when the repetitions of each scenario were measured, as far as the records say it.

    A scenario of which every repetition failed has a track, and no numbers.
    """
    measured = run.measurements
    names = dict.fromkeys([*measured.scenarios, *(failure.scenario for failure in measured.failures)])
    at_s, took_s, failed_at_s = ({name: array("d") for name in names} for _ in range(3))
    for repetition in measured.finished:
        if (start_s := _seconds(repetition.started_at)) is not None:
            at_s[repetition.scenario].append(start_s)
            took_s[repetition.scenario].append(repetition.response_s)
    for failure in measured.failures:
        if not failure.warmup and (start_s := _seconds(failure.started_at)) is not None:
            failed_at_s[failure.scenario].append(start_s)
    tracks = {}
    for name in names:
        if at_s[name] or failed_at_s[name]:
            order = np.argsort(at_s[name], kind="stable")
            tracks[name] = _Track(
                np.array(at_s[name])[order], np.array(took_s[name])[order], np.sort(failed_at_s[name])
            )
    return tracks


def _seconds(time: str) -> float | None:
    """Return a time of ISO 8601 as seconds since 1970, or None where it is none or without its zone."""
    try:
        parsed = datetime.fromisoformat(time)
    except ValueError:
        return None
    return parsed.timestamp() if parsed.tzinfo is not None else None


def _draw(
    figure: Figure, run: Run, tracks: Mapping[str, _Track], machines: Sequence[Load], span_s: tuple[float, float]
) -> None:
    rows = figure.subplots(
        1 + len(machines), 1, sharex=True, squeeze=False, height_ratios=[1.9, *[1.0] * len(machines)]
    )[:, 0]
    first_s = span_s[0]
    _repetitions(rows[0], run, tracks, first_s)
    for axes, load in zip(rows[1:], machines, strict=True):
        _load(axes, load, first_s)
    rows[-1].set_xlabel("minutes since the first repetition")
    ends_s = [*span_s, *_verifications(run).values()]
    lasted = max((max(ends_s) - min(ends_s)) / 60, 0.1)
    start = (min(ends_s) - first_s) / 60
    rows[0].set_xlim(start - 0.03 * lasted, start + 1.03 * lasted)


def _verifications(run: Run) -> dict[str, float]:
    """Return when the links were verified, in seconds since 1970."""
    times = {moment: _seconds(report.taken_at) for moment, report in run.verifications.items()}
    return {moment: at_s for moment, at_s in times.items() if at_s is not None}


def _repetitions(axes: Axes, run: Run, tracks: Mapping[str, _Track], first_s: float) -> None:
    for moment, at_s in _verifications(run).items():
        axes.axvline((at_s - first_s) / 60, color=GREY, linewidth=1, gid=f"verification-{moment}")
    by_name = looks(tracks)
    for name, track in tracks.items():
        minutes = (track.at_s - first_s) / 60
        colour, marker = by_name[name]
        if len(minutes) > MOST_POINTS:
            parts = np.array_split(np.arange(len(minutes)), POINTS)
            x = [float(np.median(minutes[part])) for part in parts]
            low, middle, high = zip(*(np.quantile(track.took_s[part], [0, 0.5, 1]) for part in parts), strict=True)
            axes.fill_between(x, low, high, color=colour, alpha=0.25, linewidth=0, zorder=2)
            axes.plot(x, middle, color=colour, linewidth=0.8, label=name, zorder=3)
        else:
            axes.plot(minutes, track.took_s, color=colour, linewidth=0.5, alpha=0.6, zorder=2)
            axes.scatter(minutes, track.took_s, s=9, color=colour, marker=marker, linewidths=0, label=name, zorder=3)
        # Of very many crosses every second, third … says the same.
        lost = (track.failed_at_s[:: len(track.failed_at_s) // MOST_POINTS + 1] - first_s) / 60
        if len(lost):
            edge = axes.get_xaxis_transform()
            axes.scatter(
                lost,
                [0.03] * len(lost),
                s=22,
                color=colour,
                marker="x",
                transform=edge,
                clip_on=False,
                label=f"{name}, failed",
                zorder=4,
            )
    axes.set_ylabel("response time (s)")
    axes.set_ylim(bottom=0)
    axes.grid(axis="y", color=GREY, alpha=FAINT, linewidth=0.6)
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=6, frameon=False, borderaxespad=0.2)


def _load(axes: Axes, load: Load, first_s: float) -> None:
    at_s = np.array([sample.at_s for sample in load.samples])
    values = {
        "cpu_percent": [sample.cpu_percent for sample in load.samples],
        "steal_percent": [sample.steal_percent for sample in load.samples],
        "memory_percent": [100 * sample.memory_used_mib / max(sample.memory_mib, 1.0) for sample in load.samples],
    }
    for field, label, colour, style in LINES:
        minutes, line = _thinned((at_s - first_s) / 60, np.array(values[field]))
        axes.plot(minutes, line, color=colour, linestyle=style, linewidth=0.8, label=label)
    shared = f"{', '.join(load.nodes)}{' (one machine)' if len(load.nodes) > 1 else ''}"
    cores = f", {load.cores} cores" if load.cores else ""
    clocks = [sample.frequency_mhz for sample in load.samples if sample.frequency_mhz is not None]
    clock = f", {min(clocks) / 1000:.2f} to {max(clocks) / 1000:.2f} GHz" if clocks else ""
    axes.set_title(f"{shared}{cores}{clock}", fontsize=SMALL)
    axes.set_ylabel("%")
    axes.set_ylim(0, 105)
    axes.set_yticks([0, 50, 100])
    axes.grid(axis="y", color=GREY, alpha=FAINT, linewidth=0.6)
    axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=3, frameon=False, borderaxespad=0.2, labelcolor=INK)


def _thinned(
    minutes: NDArray[np.float64], values: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return a line of a bounded number of points, broken where there were no samples."""
    parts = np.array_split(np.arange(len(minutes)), min(len(minutes), POINTS))
    x = np.array([minutes[part].mean() for part in parts])
    y = np.array([values[part].mean() for part in parts])
    step = max(GAP_S / 60, 3 * float(np.median(np.diff(x)))) if len(x) > 1 else 0.0
    gaps = np.flatnonzero(np.diff(x) > step) + 1
    return np.insert(x, gaps, np.nan), np.insert(y, gaps, np.nan)
