"""How requests were sent and what their way took: skew, cold and warm apart, the upload beside its bounds. No I/O."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

from collect.analysis import quantiles, statistics

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from collect.analysis.quantiles import Tail
    from collect.analysis.repetitions import Repetition
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

    @property
    def is_mixed(self) -> bool:
        """Whether the scenario's median is of cold and warm repetitions together."""
        return self.warm_s is not None and self.cold_s is not None


def traffic(repetitions: Sequence[Repetition], paths: Paths) -> Traffic:
    """Return how a scenario's requests were sent; ``paths`` is what is known of the way to the nodes."""
    cold = [any(request.cold for request in repetition.requests) for repetition in repetitions]
    times = [(repetition.response_s, is_cold) for repetition, is_cold in zip(repetitions, cold, strict=True)]
    return Traffic(
        skew_ms=quantiles.tail([ms for repetition in repetitions if (ms := skew_ms(repetition)) is not None]),
        warm_s=quantiles.tail([seconds for seconds, is_cold in times if not is_cold]),
        cold_s=quantiles.tail([seconds for seconds, is_cold in times if is_cold]),
        upload=_upload([request for repetition in repetitions for request in repetition.requests], paths),
    )


def skew_ms(repetition: Repetition) -> float | None:
    """Return the time between sending the first and the last of the parallel requests, ``None`` for a single one."""
    sent = [request.sent_ns for request in repetition.requests if request.sent_ns is not None]
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


def _upload(requests: Sequence[RequestRecord], paths: Paths) -> Upload | None:
    timed = [(request, seconds) for request in requests if (seconds := upload_s(request)) is not None]
    if not timed:
        return None
    quartiles = statistics.summarise([seconds for _, seconds in timed])
    ways = [way for request in requests if (way := paths.get((request.base_station, request.node or ""))) is not None]
    # Requests of one scenario go over links that are alike; of unlike ones the best gives the bound.
    best = min(ways, key=lambda way: way.round_trip_ms) if ways else None
    size = median(request.request_bytes for request, _ in timed)
    return Upload(
        n=len(timed),
        median_s=quartiles.median,
        quartile_1_s=quartiles.quartile_1,
        quartile_3_s=quartiles.quartile_3,
        median_mbit=median(request.request_bytes * 8e-6 / of_one for request, of_one in timed),
        bounds=bounds(size, best) if best is not None else None,
    )
