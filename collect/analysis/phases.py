"""Where a response time goes: the phases of a request and the regime of a scenario. No I/O."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from collect.analysis.repetitions import Repetition
    from collect.records import RequestRecord

# In the order of time. What the function reports beside these stands before the download and counts as compute.
BEFORE = ("upload", "wait", "read", "queue")
COMPUTE = ("parse", "vectorise", "search", "fit")
AFTER = ("download",)
NETWORK = (*BEFORE, *AFTER)
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
    """What bounds a scenario: medians over the request that came back last in each repetition."""

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
    sent = [request.sent_ns for request in requests if request.sent_ns is not None]
    parts = [_split_one(request, min(sent)) if sent else None for request in requests]
    complete = tuple(request for request in parts if request is not None)
    return complete if requests and len(complete) == len(requests) else None


def _split_one(request: RequestRecord, first_sent_ns: int) -> Request | None:
    sent, uploaded, first, last = request.sent_ns, request.uploaded_ns, request.first_byte_ns, request.last_byte_ns
    if sent is None or uploaded is None or first is None or last is None or not request.phases_ms:
        return None
    own = {name: milliseconds / MS_PER_S for name, milliseconds in request.phases_ms.items()}
    read = own.pop("read", 0.0)
    until_reply = (first - sent) / NS_PER_S
    inside = sum(own.values())
    if inside > until_reply:
        # The two clocks round a very short request differently; its phases must not exceed its time.
        own = {name: seconds * until_reply / inside for name, seconds in own.items()}
        inside = until_reply
    upload = min((uploaded - sent) / NS_PER_S, until_reply - inside)
    between = until_reply - inside - upload
    read = min(read, between)
    phases = {
        "upload": upload,
        "wait": between - read,
        "read": read,
        "queue": own.pop("queue", 0.0),
        **{name: own[name] for name in COMPUTE if name in own},
        **{name: own[name] for name in sorted(own) if name not in COMPUTE},
        "download": (last - first) / NS_PER_S,
    }
    return Request((sent - first_sent_ns) / NS_PER_S, phases)


def regime(repetitions: Sequence[Repetition]) -> Regime | None:
    """Return the regime of a scenario's repetitions, or ``None`` when no repetition has all its times."""
    last = [max(requests, key=Request.end_s) for r in repetitions if (requests := split(r.requests)) is not None]
    if not last:
        return None
    every = dict.fromkeys(name for request in last for name in request.phases_s)
    medians = {name: median(request.phases_s.get(name, 0.0) for request in last) for name in every}
    network_share = median(request.network_share for request in last)
    return Regime(medians, network_share, 1 - network_share)


def names(regimes: Iterable[Regime]) -> list[str]:
    """Return the phases that take time in any of the regimes, in the order of time."""
    every = list(dict.fromkeys(name for regime in regimes for name, seconds in regime.phases_s.items() if seconds > 0))
    every.sort(key=lambda name: BEFORE.index(name) if name in BEFORE else len(BEFORE))
    return [name for name in every if name not in AFTER] + [name for name in every if name in AFTER]
