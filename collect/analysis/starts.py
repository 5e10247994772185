"""What a cold start is made of, where a cluster starts a replica for a request. No I/O."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, NamedTuple

from collect.analysis import statistics
from collect.analysis.phases import START, own_phases_ms

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from collect.analysis.statistics import Summary
    from collect.records import RequestRecord

States = dict[str, float]
"""When a replica came to each of its states: seconds since 1970 on the clock of a node of the cluster."""

NS_PER_S, MS_PER_S = 1e9, 1e3
PHASES = ("decided", "scheduled", "started", "imported", "warmed_up", "reached", "answered")
STATES = ("created", "scheduled", "started")
# Those of which only the function tells.
OF_PROCESS = ("imported", "warmed_up")
# Moments that two clocks of one machine tell may be out of order by less than this.
AGREE_S = 0.05


@dataclass(frozen=True, slots=True)
class Starts:
    """The cold starts of a scenario; what each phase took, in seconds, over those of which all is known.

    ``cold`` is how many requests a replica answered first. ``phases_s`` are, in their order: until the cluster had
    decided to start a replica (`decided`), until it had chosen a node (`scheduled`), until the containers ran
    (`started`), until the function's process had its modules (`imported`) and was ready (`warmed_up`), until it worked
    at the request (`reached`), and until the first byte of its reply came (`answered`). They add up to the time from
    sending to that byte. A function that does not tell of its own start has nothing at two of them, which are a part of
    `reached` then. When Kubernetes calls the replica ready is none: Knative's activator asks it more often.
    """

    cold: int
    known: int
    phases_s: dict[str, Summary | None]


class _Cold(NamedTuple):
    replica: str
    sent_s: float
    first_byte_s: float
    own_s: float
    own_start_s: tuple[float, ...]


class Cold:
    """Sums up the requests that a replica answered first, repetition by repetition."""

    def __init__(self) -> None:
        self._requests: list[_Cold] = []

    def add(self, requests: Sequence[RequestRecord]) -> None:
        """Add the requests of a repetition."""
        sent_ns = [request.sent_ns for request in requests if request.sent_ns is not None]
        for request in requests:
            if not request.cold or request.replica is None or request.sent_ns is None or request.first_byte_ns is None:
                continue
            try:
                began_s = datetime.fromisoformat(request.started_at).timestamp()
            except (ValueError, OverflowError, OSError):
                continue
            waited_s = (request.sent_ns - min(sent_ns)) / NS_PER_S
            took_s = (request.first_byte_ns - request.sent_ns) / NS_PER_S
            own_start_s = tuple(request.phases_ms[name] / MS_PER_S for name in START if name in request.phases_ms)
            own_s = sum(own_phases_ms(request).values()) / MS_PER_S
            at_s = began_s + waited_s
            self._requests.append(_Cold(request.replica, at_s, at_s + took_s, own_s, own_start_s))

    def starts(self, pods: Mapping[str, States]) -> Starts | None:
        """Return what they were made of; None where the cluster told nothing, or of none of them."""
        phases: dict[str, list[float]] = {name: [] for name in PHASES}
        for request in self._requests:
            states = pods.get(request.replica, {})
            if any(state not in states for state in STATES):
                continue
            answering_s = request.first_byte_s - request.own_s
            moments = [request.sent_s, *(states[state] for state in STATES)]
            tells = len(request.own_start_s) == len(START)
            if tells:
                # The cluster tells of a start somewhat late; its process knows the latest moment that it can have been.
                began_s = min(moments.pop(), answering_s - sum(request.own_start_s))
                moments += accumulate(request.own_start_s, initial=began_s)
            moments += [answering_s, request.first_byte_s]
            # A replica that was there before the request, or clocks that do not agree, tell nothing of its start.
            if any(later - earlier < -AGREE_S for earlier, later in pairwise(moments)):
                continue
            names = PHASES if tells else [name for name in PHASES if name not in OF_PROCESS]
            for name, (earlier, later) in zip(names, pairwise(moments), strict=True):
                phases[name].append(later - earlier)
        known = len(phases[PHASES[0]])
        if not known:
            return None
        summaries = {name: statistics.summarise(seconds) if seconds else None for name, seconds in phases.items()}
        return Starts(len(self._requests), known, summaries)
