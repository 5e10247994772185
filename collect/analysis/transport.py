"""What carried a scenario's requests: their size, the congestion control, nodes and replicas. No I/O."""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from collect.records import RequestRecord


@dataclass(frozen=True, slots=True)
class Transport:
    """A scenario's requests: medians over requests, and the nodes and replicas that served them.

    ``min_rtt_ms`` is the smallest round trip of all their connections, ``links_rtt_ms`` the shortest that the links can
    have; ``None`` where the records do not have it. ``kept`` is how many used a connection of an earlier request.
    """

    requests: int
    sent: int
    texts: float
    request_mb: float
    congestion_control: tuple[str, ...]
    nodes: tuple[str, ...]
    replicas: tuple[str, ...]
    cold: int
    sharing_a_replica: int
    min_rtt_ms: float | None
    links_rtt_ms: float | None
    kept: int
    protocols: tuple[str, ...]
    encodings: tuple[str, ...]


class Carried:
    """Sums up the requests of a scenario, repetition by repetition."""

    def __init__(self) -> None:
        self._most, self._cold, self._sharing = 0, 0, 0
        self._texts, self._mb = array("q"), array("d")
        self._controls: set[str | None] = set()
        self._nodes: set[str | None] = set()
        self._replicas: set[str | None] = set()
        self._min_rtt_ms: float | None = None
        self._links_rtt_ms: float | None = None
        self._kept = 0
        self._protocols: set[str | None] = set()
        self._encodings: set[str | None] = set()

    def add(self, requests: Sequence[RequestRecord], *, together: bool = True) -> None:
        """Add the requests of a repetition, and whether each of them was to have a replica of its own."""
        served_by = {request.replica for request in requests}
        for request in requests:
            self._texts.append(request.texts)
            self._mb.append(request.request_bytes / 1e6)
            self._controls.add(request.congestion_control)
            self._nodes.add(request.node)
            self._cold += request.cold
            self._kept += request.connection == "kept"
            self._protocols.add(request.protocol)
            self._encodings.add(request.encoding)
            self._min_rtt_ms = _smaller(self._min_rtt_ms, request.min_rtt_ms)
            self._links_rtt_ms = _smaller(self._links_rtt_ms, request.links_rtt_ms)
        self._replicas |= served_by
        self._sharing += together and len(served_by) < len(requests)
        self._most = max(self._most, len(requests))

    @property
    def transport(self) -> Transport:
        """What carried the requests that were added."""
        return Transport(
            requests=self._most,
            sent=len(self._mb),
            texts=median(self._texts or [0]),
            request_mb=median(self._mb or [0]),
            congestion_control=_distinct(self._controls),
            nodes=_distinct(self._nodes),
            replicas=_distinct(self._replicas),
            cold=self._cold,
            sharing_a_replica=self._sharing,
            min_rtt_ms=self._min_rtt_ms,
            links_rtt_ms=self._links_rtt_ms,
            kept=self._kept,
            protocols=_distinct(self._protocols),
            encodings=_distinct(self._encodings),
        )


def _smaller(one: float | None, other: float | None) -> float | None:
    return min((value for value in (one, other) if value is not None), default=None)


def _distinct(values: Iterable[str | None]) -> tuple[str, ...]:
    return tuple(sorted({value for value in values if value is not None}))
