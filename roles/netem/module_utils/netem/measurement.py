"""What probing a link returns: when each probe was sent and arrived, and what the machine did meanwhile. Pure data."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, replace

WOKEN_MS = 0.05  # what a process takes to be woken on any machine: no reason to allow a link more


@dataclass(frozen=True)
class Probes:
    """The probes to one port of a peer.

    Attributes:
        sent: how many count.
        interval_ms: between two of them, as it came to be.
        arrived: how many of them arrived at the peer.
        answered: how many replies came back.
        forward_ns: one entry an answered probe, in order of sending; true where both nodes read one clock.
        backward_ns: the same of the replies.
        round_trip_ns: the same there and back, without the peer's own time.
        shared_clock: whether both nodes read one clock.
        forward_reordered: how many arrived after a later one (RFC 4737).
        backward_reordered: the same of the replies.
        forward_duplicated: how many probes the peer received twice; None where that is not known.
    """

    sent: int
    interval_ms: float
    arrived: int
    answered: int
    forward_ns: tuple[int, ...]
    backward_ns: tuple[int, ...]
    round_trip_ns: tuple[int, ...]
    shared_clock: bool
    forward_reordered: int = 0
    backward_reordered: int = 0
    forward_duplicated: int | None = None

    @property
    def lost(self) -> int:
        """How many never arrived at the peer."""
        return self.sent - self.arrived

    @property
    def round_trips_ms(self) -> list[float]:
        """There and back, without the peer's own time."""
        return [delay / 1e6 for delay in self.round_trip_ns]

    def mirrored(self) -> Probes:
        """Return the replies as probes of the way back."""
        return replace(
            self, sent=self.arrived, arrived=self.answered, forward_ns=self.backward_ns, backward_ns=self.forward_ns,
            forward_reordered=self.backward_reordered, backward_reordered=0, forward_duplicated=None,
        )  # fmt: skip

    def delays_ms(self, *, one_way: bool) -> list[float]:
        """Return the delays there, or there and back."""
        return [delay / 1e6 for delay in (self.forward_ns if one_way else self.round_trip_ns)]


@dataclass(frozen=True)
class Measurement:
    """What probing one peer returned.

    Attributes:
        probes: those over the link.
        control: those that no link shaped, sent between the others; None where none were sent.
        family: 4 or 6, by which kind of address.
        late_ns: how much longer than asked for each wait of this node's timers took.
        stolen: the share of this machine's CPU time that its hypervisor gave to others meanwhile (CPU steal).
        starved: in which words an emulator's own counters speak against it; None where the kernel shaped.
    """

    probes: Probes
    control: Probes | None = None
    family: int = 4
    late_ns: tuple[int, ...] = ()
    stolen: float = 0.0
    starved: tuple[str, ...] | None = None

    @property
    def late_ms(self) -> float:
        """The median of how late this node's timers were, beyond what any process takes to be woken."""
        return max(statistics.median(self.late_ns) / 1e6 - WOKEN_MS, 0.0) if self.late_ns else 0.0
