"""Where a response time goes: the phases of a request and the regime of a scenario. No I/O."""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from collect.records import RequestRecord

    Values = NDArray[np.float64]

# In the order of time. What the function reports beside these stands before the download and counts as compute.
BEFORE = ("upload", "wait", "read", "queue")
COMPUTE = ("parse", "vectorise", "search", "fit")
AFTER = ("download",)
NETWORK = (*BEFORE, *AFTER)
# What a replica's first reply also tells: how long its process took to be ready. That was no part of the response.
START = ("start_import", "start_warm_up")
NS_PER_S = 1e9
MS_PER_S = 1000
# A scenario is called bound by the part that takes more than this share of its response time.
BOUND_SHARE = 0.5


@dataclass(frozen=True, slots=True)
class Request:
    """A request's response time by phase, in seconds; ``start_s`` counts from the repetition's first request."""

    start_s: float
    phases_s: dict[str, float]

    @property
    def compute_s(self) -> float:
        """The part that a faster processor shortens."""
        return sum(seconds for name, seconds in self.phases_s.items() if name not in NETWORK)

    @property
    def network_s(self) -> float:
        """The part that a faster processor does not shorten: the links, TCP, the gateway and its queue."""
        return sum(seconds for name, seconds in self.phases_s.items() if name in NETWORK)

    @property
    def network_share(self) -> float:
        """The network's part of the whole, from 0 to 1; 0 for a request that took no time."""
        whole = self.network_s + self.compute_s
        return self.network_s / whole if whole > 0 else 0.0

    def end_s(self, slower: float = 1) -> float:
        """Return when the last byte would arrive with compute ``slower`` times as slow."""
        return self.start_s + self.network_s + slower * self.compute_s


@dataclass(frozen=True, slots=True)
class Regime:
    """What bounds a scenario: medians over the request that came back last in each repetition.

    Where requests were not sent together they are over all of them.
    """

    phases_s: dict[str, float]
    network_share: float
    compute_share: float

    @property
    def word(self) -> str:
        """The regime in words."""
        return "network-bound" if self.network_share > BOUND_SHARE else "compute-bound"


def split(requests: Sequence[RequestRecord]) -> tuple[Request, ...] | None:
    """Return the phases of a repetition's requests, or ``None`` when a time or the function's phases are missing.

    ``upload`` runs from sending until the gateway's TCP has acknowledged the last byte, ``download`` from the first
    byte to the last. Between the two lie the function's own phases, taken from its ``Server-Timing``; the function
    reads while the base station still sends, so of ``read`` only what fits beside the other phases counts.
    ``queue`` is the wait for a free place inside the function. The rest is ``wait``: the links and the gateway. The
    phases of a request add up to its response time exactly.
    """
    timed = Timed()
    timed.add(requests)
    parts = timed.parts
    if not parts.counts[0]:
        return None
    phases_s: list[dict[str, float]] = [{} for _ in requests]
    for layout in parts.layouts:
        for row, place in enumerate(layout.places):
            phases_s[place] = {name: float(seconds[row]) for name, seconds in layout.phases_s.items()}
    return tuple(Request(float(start), spent) for start, spent in zip(parts.start_s, phases_s, strict=True))


@dataclass(frozen=True, slots=True)
class Layout:
    """Requests that report the same phases in the same order: their places among all, and each phase in seconds."""

    places: NDArray[np.int64]
    phases_s: dict[str, Values]


@dataclass(frozen=True, slots=True)
class Parts:
    """What `split` returns, of many repetitions at once and as arrays, in seconds; there may be a million requests.

    ``counts`` is how many requests each repetition has, 0 where one of them lacks a time or its phases. The other
    arrays hold the requests of all repetitions one after the other.
    """

    counts: NDArray[np.int64]
    start_s: Values
    network_s: Values
    compute_s: Values
    layouts: tuple[Layout, ...] = ()

    @property
    def whole(self) -> NDArray[np.bool_]:
        """Which repetitions have all their times."""
        return self.counts > 0

    def last(self) -> NDArray[np.int64]:
        """Return the place of the request of each whole repetition that came back last, the first of several."""
        ends_s = self.start_s + self.network_s + self.compute_s
        of_repetition = np.maximum.reduceat(ends_s, _starts(self.counts))
        is_last = ends_s == np.repeat(of_repetition, self.counts[self.whole])
        places = np.where(is_last, np.arange(len(is_last)), len(is_last))
        return np.asarray(np.minimum.reduceat(places, _starts(self.counts)))


class Timed:
    """Sums up the times of requests, repetition by repetition."""

    def __init__(self) -> None:
        self._counts, self._times_ns = array("q"), array("q")
        # By the names of the phases: the places of the requests that report these, and their values.
        self._rows: dict[tuple[str, ...], tuple[array[int], array[float]]] = {}

    def add(self, requests: Sequence[RequestRecord]) -> None:
        """Add the requests of a repetition."""
        times = [_times(request) for request in requests]
        whole = None not in times
        self._counts.append(len(times) if whole else 0)
        for request, at in zip(requests, times, strict=True):
            if not whole or at is None:
                continue
            own = own_phases_ms(request)
            names = tuple(own)
            if names not in self._rows:
                self._rows[names] = array("q"), array("d")
            places, own_ms = self._rows[names]
            places.append(len(self._times_ns) // len(at))
            self._times_ns.extend(at)
            own_ms.extend(own.values())

    @property
    def parts(self) -> Parts:
        """The parts of the requests that were added."""
        counts, times_ns = np.array(self._counts), np.array(self._times_ns).reshape(-1, 4)
        sent = times_ns[:, 0]
        first = np.minimum.reduceat(sent, _starts(counts)) if len(sent) else sent
        network_s, compute_s = np.zeros(len(sent)), np.zeros(len(sent))
        layouts = []
        for names, (at, own_ms) in self._rows.items():
            places = np.array(at)
            phases_s = _phases(
                times_ns[places], dict(zip(names, np.array(own_ms).reshape(-1, len(names)).T, strict=True))
            )
            layouts.append(Layout(places, phases_s))
            for name, seconds in phases_s.items():
                (network_s if name in NETWORK else compute_s)[places] += seconds
        start_s = (sent - np.repeat(first, counts[counts > 0])) / NS_PER_S
        return Parts(counts, start_s, network_s, compute_s, tuple(layouts))


def own_phases_ms(request: RequestRecord) -> dict[str, float]:
    """Return the function's own phases of a request, without those of its process's start."""
    if START[0] not in request.phases_ms:  # as nearly always, and there may be a million requests
        return request.phases_ms
    return {name: took_ms for name, took_ms in request.phases_ms.items() if name not in START}


def _times(request: RequestRecord) -> tuple[int, int, int, int] | None:
    sent, uploaded, first, last = request.sent_ns, request.uploaded_ns, request.first_byte_ns, request.last_byte_ns
    if sent is None or uploaded is None or first is None or last is None or not request.phases_ms:
        return None
    return sent, uploaded, first, last


def _starts(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the place of the first request of each repetition that has any."""
    having = counts[counts > 0]
    return np.cumsum(having) - having


def _phases(times_ns: NDArray[np.int64], own_ms: Mapping[str, Values]) -> dict[str, Values]:
    """Return the phases of requests in seconds; their times are sent, uploaded, first and last byte."""
    sent, uploaded, first, last = times_ns.T
    own = {name: milliseconds / MS_PER_S for name, milliseconds in own_ms.items()}
    nothing = np.zeros(len(sent))
    read = own.pop("read", nothing)
    until_reply = (first - sent) / NS_PER_S
    inside = sum(own.values(), nothing)
    # The two clocks round a very short request differently; its phases must not exceed its time.
    exceeds = inside > until_reply
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        own = {name: np.where(exceeds, seconds * until_reply / inside, seconds) for name, seconds in own.items()}
    inside = np.minimum(inside, until_reply)
    upload = np.minimum((uploaded - sent) / NS_PER_S, until_reply - inside)
    between = until_reply - inside - upload
    read = np.minimum(read, between)
    return {
        "upload": upload,
        "wait": between - read,
        "read": read,
        "queue": own.pop("queue", nothing),
        **{name: own[name] for name in COMPUTE if name in own},
        **{name: own[name] for name in sorted(own) if name not in COMPUTE},
        "download": (last - first) / NS_PER_S,
    }


def regime(parts: Parts) -> Regime | None:
    """Return the regime of a scenario, or ``None`` when no repetition has all its times."""
    if not parts.whole.any():
        return None
    last = parts.last()
    every = list(dict.fromkeys(name for layout in parts.layouts for name in layout.phases_s))
    spent = np.empty(len(parts.start_s))
    medians = {}
    for name in every:
        spent[:] = 0
        for layout in parts.layouts:
            if name in layout.phases_s:
                spent[layout.places] = layout.phases_s[name]
        medians[name] = float(np.median(spent[last]))
    network_s = parts.network_s[last]
    whole = network_s + parts.compute_s[last]
    shares = np.divide(network_s, whole, out=np.zeros(len(whole)), where=whole > 0)
    network_share = float(np.median(shares))
    return Regime(medians, network_share, 1 - network_share)


def names(regimes: Iterable[Regime]) -> list[str]:
    """Return the phases that take time in any of the regimes, in the order of time."""
    every = list(dict.fromkeys(name for regime in regimes for name, seconds in regime.phases_s.items() if seconds > 0))
    every.sort(key=lambda name: BEFORE.index(name) if name in BEFORE else len(BEFORE))
    return [name for name in every if name not in AFTER] + [name for name in every if name in AFTER]
