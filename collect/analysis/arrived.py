"""Requests that were not sent together: what each took, counted from when it was due and from when it was sent. No I/O.

The requests of a repetition wait for each other, so they are not pooled: each repetition gives one value of a quantile,
and repetitions give its interval.
"""

from __future__ import annotations

import math
from array import array
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from collect.analysis import statistics

if TYPE_CHECKING:
    from collections.abc import Sequence

    from collect.analysis.statistics import Summary
    from collect.records import RequestRecord

NS_PER_S, NS_PER_MS = 1e9, 1e6
MEDIAN = 0.5
QUANTILES = (MEDIAN, 0.9, 0.99)

Start = Literal["due", "sent"]


@dataclass(frozen=True, slots=True)
class Times:
    """Response times in seconds of one kind of request, ``None`` for all together, by repetition.

    ``quantiles_s`` are the median, p90 and p99 of a repetition's requests, each over repetitions; ``None`` where a
    repetition has too few requests for it.
    """

    kind: str | None
    counted_from: Start
    requests: int
    quantiles_s: tuple[Summary | None, ...]


@dataclass(frozen=True, slots=True)
class Arrived:
    """The requests of a scenario that were not sent together.

    ``offered_per_s`` is how many were due a second, and ``answered_per_s`` how many replies came, medians over
    repetitions, ``None`` where repetitions have one request. ``late_p99_ms`` is how late the base station sent them, in
    the worst repetition.
    """

    arrivals: str
    offered_per_s: float | None
    answered_per_s: float | None
    late_p99_ms: float
    times: tuple[Times, ...]


def response_s(request: RequestRecord, counted_from: Start) -> float:
    """Return how long a request took that was answered."""
    began_ns = request.intended_ns if counted_from == "due" else (request.sent_ns or request.intended_ns)
    return ((request.last_byte_ns or began_ns) - began_ns) / NS_PER_S


class Arriving:
    """Sums up requests that were not sent together, repetition by repetition."""

    def __init__(self, arrivals: str) -> None:
        self._arrivals = arrivals
        self._offered, self._answered, self._late_ms = array("d"), array("d"), array("d")
        self._counts: dict[tuple[str | None, Start], int] = defaultdict(int)
        self._quantiles: dict[tuple[str | None, Start], list[list[float]]] = defaultdict(
            lambda: [[] for _ in QUANTILES]
        )

    def add(self, requests: Sequence[RequestRecord]) -> None:
        """Add the requests of a repetition."""
        late_ms = [(one.sent_ns - one.intended_ns) / NS_PER_MS for one in requests if one.sent_ns is not None]
        self._late_ms.append(float(np.quantile(late_ms, 0.99, method="inverted_cdf")))
        due_s = [one.intended_ns / NS_PER_S for one in requests]
        ends_s = [one.last_byte_ns / NS_PER_S for one in requests if one.last_byte_ns is not None]
        if len(requests) > 1 and max(due_s) > min(due_s):
            self._offered.append((len(requests) - 1) / (max(due_s) - min(due_s)))
            self._answered.append(len(requests) / (max(ends_s) - min(due_s)))
        of_kinds: dict[str | None, list[RequestRecord]] = {None: list(requests)}
        for request in requests:
            if request.request_kind is not None:
                of_kinds.setdefault(request.request_kind, []).append(request)
        for kind, chosen in of_kinds.items():
            for counted_from in ("due", "sent"):
                self._add(kind, counted_from, [response_s(request, counted_from) for request in chosen])

    def _add(self, kind: str | None, counted_from: Start, times_s: Sequence[float]) -> None:
        self._counts[kind, counted_from] += len(times_s)
        for share, values in zip(QUANTILES, self._quantiles[kind, counted_from], strict=True):
            # One that a repetition cannot have leaves the scenario without it, as the rest would not be the same.
            values.append(float(np.quantile(times_s, share)) if len(times_s) >= fewest(share) else math.nan)

    def arrived(self) -> Arrived:
        """Return what was added."""
        times = [
            Times(kind, counted_from, self._counts[kind, counted_from], tuple(map(_summary, values)))
            for (kind, counted_from), values in sorted(
                self._quantiles.items(), key=lambda one: (one[0][0] or "", one[0][1])
            )
        ]
        offered = float(np.median(self._offered)) if self._offered else None
        answered = float(np.median(self._answered)) if self._answered else None
        return Arrived(self._arrivals, offered, answered, max(self._late_ms), tuple(times))


def fewest(share: float) -> int:
    """Return how many requests a repetition has at least for a quantile of them: 10 for p90, 100 for p99."""
    return 1 if share <= MEDIAN else round(1 / (1 - share))


def _summary(values: Sequence[float]) -> Summary | None:
    return None if any(math.isnan(value) for value in values) else statistics.summarise(values)
