"""The properties that a link has, in the order in which its sentence names them, and those of them that are small."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .delay import Delay
from .estimates import loss_interval
from .loss import Loss
from .property import Property, percent, ranges, value

if TYPE_CHECKING:
    from .link import Link
    from .property import Observation, Range

MTU_BYTES = 1500
UNLIMITED_MBIT = 10_000  # the speed that queues are sized for where no rate is set
UNFELT_MBIT = 100_000  # where tc wants a rate though none is asked for: 0.1 us a frame
# A flipped bit loses a probe, save in the sender's hardware address, 6 of the 58 bytes of its frame; and, by IPv6, of
# 78, in traffic class, flow label and hop limit, 36 bits.
CORRUPTED_AND_LOST = {4: 52 / 58, 6: 67.5 / 78}


@dataclass(frozen=True)
class Duplication(Property):
    """Which share of frames arrives twice."""

    duplicate_percent: float = percent("Share of frames that arrive twice.", default=0)

    def words(self) -> str:
        return f"{self.duplicate_percent:g} % duplicated" if self.duplicate_percent else ""

    def tc(self, link: Link) -> list[str]:
        return ["duplicate", f"{self.duplicate_percent:g}%"] if self.duplicate_percent else []

    def emulator(self, link: Link) -> dict[str, Any]:
        return {"duplicate": self.duplicate_percent / 100}

    def problems(self, seen: Observation) -> list[str]:
        if seen.duplicated is None:
            return []
        # A frame that is lost as well as repeated arrives once, and its copy may be lost (sch_netem.c, netem_enqueue).
        expected = self.duplicate_percent / 100 * (1 - seen.loss) ** 2
        low, high = loss_interval(min(seen.duplicated, seen.sent), seen.sent, seen.confidence)
        if low <= expected <= high:
            return []
        interval = f"{100 * seen.confidence:.6g} % interval {100 * low:.3g} to {100 * high:.3g} %"
        return [f"{seen.duplicated} of {seen.sent} probes arrived twice ({interval}), expected {100 * expected:.3g} %"]


@dataclass(frozen=True)
class Corruption(Property):
    """Which share of frames is damaged."""

    tc_none = ("corrupt", "0%")

    corrupt_percent: float = percent("Share of frames with one bit flipped.", default=0)

    def words(self) -> str:
        return f"{self.corrupt_percent:g} % corrupted" if self.corrupt_percent else ""

    def tc(self, link: Link) -> list[str]:
        return ["corrupt", f"{self.corrupt_percent:g}%"] if self.corrupt_percent else []

    def emulator(self, link: Link) -> dict[str, Any]:
        return {"corrupt": self.corrupt_percent / 100}

    def damaged(self, family: int | None) -> float:
        return self.corrupt_percent / 100 * (1.0 if family is None else CORRUPTED_AND_LOST[family])


@dataclass(frozen=True)
class Rate(Property):
    """How fast the link is."""

    rate_mbit: float | None = value(float, "Rate of the link in Mbit/s; not limited unless set.", default=None, above=0)

    def words(self) -> str:
        return f"{self.rate_mbit:g} Mbit/s" if self.rate_mbit is not None else ""

    def emulator(self, link: Link) -> dict[str, Any]:
        return {"ns_per_byte": 8000 / self.rate_mbit if self.rate_mbit else 0.0}


@dataclass(frozen=True)
class Limit(Property):
    """How many frames the link holds."""

    limit_packets: int | None = value(
        int, "Queue length in packets; unless it is set, long enough for the rate and the delay.",
        default=None, at_least=1, below=2**31,
    )  # fmt: skip

    def words(self) -> str:
        return f"{self.limit_packets} packets at most" if self.limit_packets is not None else ""

    def tc(self, link: Link) -> list[str]:
        return ["limit", str(self.packets(link))]

    def emulator(self, link: Link) -> dict[str, Any]:
        return {"limit": self.packets(link)}

    def packets(self, link: Link) -> int:
        """Return the limit, or rate / MTU * (delay + 4 sigma) * 1.5, at least 1000.

        netem's own default of 1000 drops under bulk traffic; it is this formula's floor.
        """
        if self.limit_packets is not None:
            return self.limit_packets
        delay = link.delay
        bits = (link.rate_mbit or UNLIMITED_MBIT) * 1000 * (delay.delay_ms + 4 * delay.jitter_ms)
        return max(1000, math.ceil(bits / 8 / MTU_BYTES * 1.5))


@dataclass(frozen=True)
class Order(Property):
    """Whether frames may be reordered."""

    tc_none = ("rate", "0bit")

    reorder: bool = value(
        bool,
        "Whether jitter may reorder frames, as a plain `tc … netem delay` does; `false` keeps their order.",
        default=True,
    )

    def words(self) -> str:
        return "" if self.reorder else "order kept"

    def tc(self, link: Link) -> list[str]:
        """Return a rate where order is kept, the link's or one too high to be felt.

        Jitter reorders unless netem has a rate: it then sends no frame before the previous one (sch_netem.c,
        netem_enqueue).
        """
        return [] if self.reorder else ["rate", f"{link.rate_mbit or UNFELT_MBIT:g}mbit"]

    def emulator(self, link: Link) -> dict[str, Any]:
        return {"reorder": self.reorder}

    def problems(self, seen: Observation) -> list[str]:
        if self.reorder or not seen.reordered:
            return []
        return [f"{seen.reordered} probes were reordered, but the link keeps order"]


@dataclass(frozen=True)
class Seed(Property):
    """Seed of the random numbers."""

    seed: int | None = value(
        int, "Seed of the link's random numbers, for the same draws in each run; sch_netem needs iproute2 and Linux 6.6 for it.",
        default=None, at_least=0, at_most=2**64 - 1,
    )  # fmt: skip

    def words(self) -> str:
        return f"seed {self.seed}" if self.seed is not None else ""

    def tc(self, link: Link) -> list[str]:
        return ["seed", str(self.seed)] if self.seed is not None else []

    def emulator(self, link: Link) -> dict[str, Any]:
        return {"seed": self.seed}


PROPERTIES: tuple[type[Property], ...] = (Delay, Loss, Duplication, Corruption, Rate, Limit, Order, Seed)


def values() -> dict[str, Range]:
    """Return the range of each value that a link has, by the key that `netem_links` and scenario files give it."""
    return {name: range_ for kind in PROPERTIES for name, range_ in ranges(kind).items()}
