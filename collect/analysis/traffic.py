"""How requests were sent and what their way took: skew, cold and warm apart, the upload beside its bounds. No I/O."""

from __future__ import annotations

import math
from array import array
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from collect.analysis import quantiles, statistics

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from collect.analysis.quantiles import Tail
    from collect.records import RequestRecord

    # By base station and compute node.
    Paths = Mapping[tuple[str, str], "NetworkPath"]

# TCP's initial window (RFC 6928), and the bytes of a segment: 1500 less the headers with time stamps.
INITIAL_SEGMENTS = 10
SEGMENT_BYTES = 1448
NS_PER_S, NS_PER_MS = 1e9, 1e6
# A skew of more than this share of the response time is no longer small beside it.
LARGE_SKEW = 0.05


@dataclass(frozen=True, slots=True)
class NetworkPath:
    """What the verification measured between a base station and a node: the mean round trip.

    ``reno_mbit`` is what the link's loss and rate leave a Reno connection in the long run: MSS / RTT * sqrt(3 / (2 p)),
    at most the rate (Mathis et al., 1997); ``None`` where neither limits it, or TCP was not measured.
    """

    round_trip_ms: float
    reno_mbit: float | None = None


@dataclass(frozen=True, slots=True)
class Bounds:
    """What an upload takes at least, and what its link's loss leaves a Reno connection, in seconds.

    ``slow_start_s`` is ``rounds`` round trips: without a loss the window doubles each round trip, from ten segments on
    (RFC 5681, section 3.1; RFC 6928). ``reno_s`` is no lower bound: what ends before its first loss is faster.
    """

    round_trip_ms: float
    rounds: int
    slow_start_s: float
    reno_s: float | None


@dataclass(frozen=True, slots=True)
class Upload:
    """What uploads took, over requests, from the handshake to the acknowledgement of the last byte."""

    n: int
    median_s: float
    quartile_1_s: float
    quartile_3_s: float
    median_mbit: float
    bounds: Bounds | None


@dataclass(frozen=True, slots=True)
class Traffic:
    """A scenario's requests as they were sent.

    ``skew_ms`` is the time between the first and the last request of a repetition being sent, ``None`` where a
    repetition has one request. ``warm_s`` and ``cold_s`` are response times: a repetition is cold when a replica
    answered one of its requests for the first time.
    """

    skew_ms: Tail | None
    warm_s: Tail | None
    cold_s: Tail | None
    upload: Upload | None


def skew_ms(requests: Iterable[RequestRecord]) -> float | None:
    """Return the time between sending the first and the last of parallel requests, ``None`` for a single one."""
    sent = [request.sent_ns for request in requests if request.sent_ns is not None]
    return (max(sent) - min(sent)) / NS_PER_MS if len(sent) > 1 else None


def upload_s(request: RequestRecord) -> float | None:
    """Return how long a request's upload took on its connection, or ``None`` where a time is missing."""
    if request.uploaded_ns is None or request.sent_ns is None:
        return None
    # A connection that was kept open was there before.
    began = max(request.sent_ns, request.connected_ns or request.sent_ns)
    return (request.uploaded_ns - began) / NS_PER_S if request.uploaded_ns > began else None


def bounds(request_bytes: float, path: NetworkPath) -> Bounds:
    """Return the bounds of an upload of so many bytes."""
    windows = request_bytes / (INITIAL_SEGMENTS * SEGMENT_BYTES)
    # After r round trips 2**r - 1 initial windows were sent.
    rounds = max(1, math.ceil(math.log2(windows + 1)))
    reno = request_bytes * 8e-6 / path.reno_mbit if path.reno_mbit else None
    return Bounds(path.round_trip_ms, rounds, rounds * path.round_trip_ms / 1000, reno)


class Sent:
    """Sums up how the requests of a scenario were sent, repetition by repetition."""

    def __init__(self) -> None:
        self._skews_ms, self._warm_s, self._cold_s = array("d"), array("d"), array("d")
        self._uploads_s, self._bytes = array("d"), array("q")
        self._ways: set[tuple[str, str]] = set()
        # One that is kept has the window that earlier requests left it, so it has no bound.
        self._is_kept = False

    def add(self, response_s: float, requests: Sequence[RequestRecord], *, together: bool = True) -> None:
        """Add a repetition: its response time, its requests, and whether these were to be sent together."""
        if together and (skew := skew_ms(requests)) is not None:
            self._skews_ms.append(skew)
        (self._cold_s if any(request.cold for request in requests) else self._warm_s).append(response_s)
        for request in requests:
            self._ways.add((request.base_station, request.node or ""))
            self._is_kept |= request.connection == "kept"
            if (seconds := upload_s(request)) is not None:
                self._uploads_s.append(seconds)
                self._bytes.append(request.request_bytes)

    def traffic(self, paths: Paths) -> Traffic:
        """Return how they were sent; ``paths`` is what is known of the way to the nodes."""
        warm, cold = quantiles.tail(self._warm_s), quantiles.tail(self._cold_s)
        return Traffic(quantiles.tail(self._skews_ms), warm, cold, self._upload(paths))

    def _upload(self, paths: Paths) -> Upload | None:
        if not self._uploads_s:
            return None
        quartiles = statistics.summarise(self._uploads_s)
        sizes = np.array(self._bytes)
        known = [paths[way] for way in self._ways if way in paths]
        # Requests of one scenario go over links that are alike; of unlike ones the best gives the bound.
        best = min(known, key=lambda way: way.round_trip_ms) if known else None
        return Upload(
            n=len(sizes),
            median_s=quartiles.median,
            quartile_1_s=quartiles.quartile_1,
            quartile_3_s=quartiles.quartile_3,
            median_mbit=float(np.median(sizes * 8e-6 / np.array(self._uploads_s))),
            bounds=bounds(float(np.median(sizes)), best) if best is not None and not self._is_kept else None,
        )
