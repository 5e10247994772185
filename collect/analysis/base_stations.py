"""What each of several base stations measured, beside what they measured together. No I/O."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

from collect.analysis import quality, statistics

if TYPE_CHECKING:
    from collections.abc import Sequence

    from collect.analysis.quality import Scored
    from collect.analysis.repetitions import Repetition
    from collect.analysis.statistics import Summary

NS_PER_MS = 1e6


@dataclass(frozen=True, slots=True)
class OfBaseStation:
    """One base station's part of a scenario.

    ``response_s`` are its own response times in seconds, and ``qualities`` its own values by each measure: its test
    accuracy is that of the model which its own best reply and its own texts give. ``training_texts`` is the median of
    how many texts it had.
    """

    base_station: str
    response_s: Summary
    qualities: tuple[Scored, ...]
    training_texts: float


@dataclass(frozen=True, slots=True)
class Together:
    """Several base stations in one scenario, whose repetitions are one data point each.

    ``start_skew_ms`` is by how much the one that was latest to begin was later than the one that was least, repetition
    by repetition, each counted from when its first request was due; ``clock_error_ms`` is how wrong that may be at
    most, as their clocks are known to each other only so far.
    """

    base_stations: tuple[OfBaseStation, ...]
    start_skew_ms: Summary
    clock_error_ms: float


def together(repetitions: Sequence[Repetition]) -> Together | None:
    """Return what each base station measured, or ``None`` where one was alone."""
    if not any(repetition.parts for repetition in repetitions):
        return None
    parts: dict[str, list[Repetition]] = {}
    for repetition in repetitions:
        for part in repetition.parts:
            parts.setdefault(part.base_station, []).append(part)
    skews, errors = zip(*(_began(repetition) for repetition in repetitions), strict=True)
    return Together(
        base_stations=tuple(_of(name, own) for name, own in sorted(parts.items())),
        start_skew_ms=statistics.summarise(skews),
        clock_error_ms=max(errors),
    )


def _began(repetition: Repetition) -> tuple[float, float]:
    """Return how far apart base stations began, and how wrong that may be, both in ms."""
    late_ns: dict[str, int] = {}
    error_ms = 0.0
    for request in repetition.requests:
        if request.sent_ns is not None:  # the first one of each, from its own time on
            late_ns.setdefault(request.base_station, request.sent_ns - request.intended_ns)
        error_ms = max(error_ms, request.clock_error_ms or 0.0)
    return (max(late_ns.values()) - min(late_ns.values())) / NS_PER_MS, error_ms


def _of(name: str, repetitions: Sequence[Repetition]) -> OfBaseStation:
    return OfBaseStation(
        base_station=name,
        response_s=statistics.summarise([repetition.response_s for repetition in repetitions]),
        qualities=quality.scored(repetitions),
        training_texts=median(repetition.training_texts for repetition in repetitions),
    )
