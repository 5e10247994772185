"""One direction of a network path: what it shall do, and how to say that to a person, to `tc` and to the emulator."""

from __future__ import annotations

import math
import re
import zlib
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

MTU_BYTES = 1500
UNLIMITED_MBIT = 10_000  # the speed that queues are sized for where no rate is set
UNFELT_MBIT = 100_000  # where tc wants a rate though none is asked for: 0.1 us a frame
INTERFACE_NAME_MAX = 15


class LinkError(ValueError):
    """A link that cannot be: one sentence that names it and what to change."""


@dataclass(frozen=True)
class Link:
    """A one-way path from source to target: what `tc-netem(8)` calls delay, jitter and loss.

    Args:
        source: the node that sends, as the inventory calls it.
        target: the node that the frames are for.
        delay_ms: mean delay, in milliseconds.
        jitter_ms: sigma of the normal distribution around it; at most a quarter of the delay, because a draw below
            zero would send at once and the mean would no longer be the delay.
        loss_percent: share of frames that never arrive, each by its own draw.
        rate_mbit: speed of the link, or None for the interface's own.
        reorder: whether a frame may overtake one that drew a longer delay, as a bare `netem delay D J` lets it.
        seed: makes the draws repeatable, where the backend can.

    Raises:
        LinkError: a value is out of range; the message names the link, the value and the limit.
    """

    source: str
    target: str
    delay_ms: float
    jitter_ms: float = 0.0
    loss_percent: float = 0.0
    rate_mbit: float | None = None
    reorder: bool = True
    seed: int | None = None

    def __post_init__(self) -> None:
        for name in ("delay_ms", "jitter_ms", "loss_percent", "rate_mbit", "seed"):
            value = getattr(self, name)
            if value is None and name in ("rate_mbit", "seed"):
                continue
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
                raise LinkError(f"{self.path}: {name} is {value!r}, but has to be a number.")
            if value < 0:
                raise LinkError(f"{self.path}: {name} is {value:g}, but must not be negative.")
        if self.source == self.target:
            raise LinkError(f"{self.path}: a link joins two different nodes.")
        if self.jitter_ms > self.delay_ms / 4:
            raise LinkError(
                f"{self.path}: jitter_ms is {self.jitter_ms:g}, more than a quarter of delay_ms ({self.delay_ms:g}): "
                f"draws below zero would shift the mean. Set it to at most {self.delay_ms / 4:g}."
            )
        if self.loss_percent > 100:
            raise LinkError(f"{self.path}: loss_percent is {self.loss_percent:g}, more than 100.")
        if self.rate_mbit == 0:
            raise LinkError(f"{self.path}: rate_mbit is 0: nothing would pass. Leave it out for no limit.")

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> Link:
        """Return the link that an entry of `netem_links` describes.

        Raises:
            LinkError: an unknown key, a missing one or a value out of range.
        """
        path = f"{values.get('source', '?')} -> {values.get('target', '?')}"
        known = {field.name for field in fields(cls)}
        for key in values:
            if key not in known:
                raise LinkError(f"{path}: a link has no {key!r}; it has {', '.join(sorted(known))}.")
        for key in ("source", "target", "delay_ms"):
            if values.get(key) is None:
                raise LinkError(f"{path}: {key} is missing.")
        return cls(**values)

    @property
    def path(self) -> str:
        """The ordered pair, as a person would write it."""
        return f"{self.source} -> {self.target}"

    def __str__(self) -> str:
        shape = f"{self.delay_ms:g} ms"
        if self.jitter_ms:
            shape += f" ± {self.jitter_ms:g} ms"
        shape += f", {self.loss_percent:g} % loss"
        if self.rate_mbit is not None:
            shape += f", {self.rate_mbit:g} Mbit/s"
        if not self.reorder:
            shape += ", order kept"
        if self.seed is not None:
            shape += f", seed {self.seed}"
        return f"{self.path}: {shape}"

    @property
    def limit_packets(self) -> int:
        """How many full frames may be on their way: rate / MTU * (delay + 4 sigma) * 1.5, at least 1000.

        netem's own default of 1000 drops under bulk traffic; it is this formula's floor.
        """
        bits = (self.rate_mbit or UNLIMITED_MBIT) * 1000 * (self.delay_ms + 4 * self.jitter_ms)
        return max(1000, math.ceil(bits / 8 / MTU_BYTES * 1.5))

    def tc_class(self) -> list[str]:
        """Return the arguments of the link's HTB class: the place where a rate is kept while frames may overtake."""
        rate_mbit = self.rate_mbit if self.rate_mbit and self.reorder else UNFELT_MBIT
        # tc's own burst is one frame, or none at rates like this: HTB then waits for its timer between any two.
        burst = str(max(2 * MTU_BYTES + 200, round(rate_mbit * 12.5)))  # 0.1 ms
        return ["htb", "rate", f"{rate_mbit:g}mbit", "burst", burst, "cburst", burst, "quantum", "60000"]

    def tc_netem(self, *, seeds: bool = False) -> list[str]:
        """Return the arguments of the link's netem leaf; seeds says whether this `tc` knows `seed` (6.6 and later).

        Jitter reorders unless netem has a rate: it then sends no frame before the one in front (sch_netem.c,
        netem_enqueue). So a link that keeps order gets its rate there, or one too high to be felt.
        """
        arguments = ["netem", "limit", str(self.limit_packets), "delay", f"{self.delay_ms:g}ms"]
        if self.jitter_ms:
            arguments += [f"{self.jitter_ms:g}ms", "distribution", "normal"]
        if self.loss_percent:
            arguments += ["loss", f"{self.loss_percent:g}%"]
        if not self.reorder:
            arguments += ["rate", f"{self.rate_mbit or UNFELT_MBIT:g}mbit"]
        if self.seed is not None and seeds:
            arguments += ["seed", str(self.seed)]
        return arguments

    def emulator(self, interface: str) -> dict[str, Any]:
        """Return what `files/emulator.py` reads: the link, the interface, the TAP and the limit."""
        return asdict(self) | {"interface": interface, "tap": self.tap, "limit_packets": self.limit_packets}

    @property
    def tap(self) -> str:
        """The emulator's TAP towards the target: its name if an interface can have it, else its check sum."""
        name = f"fb-{self.target}"
        fits = len(name) <= INTERFACE_NAME_MAX and re.fullmatch(r"[A-Za-z0-9_.-]+", name)
        return name if fits else f"fb-{zlib.crc32(self.target.encode()):08x}"


def read_links(entries: Iterable[Mapping[str, Any]], hosts: Sequence[str]) -> list[Link]:
    """Return the links of a whole testbed, checked one by one and against each other.

    Args:
        entries: `netem_links`.
        hosts: the nodes that have an address on the data network.

    Raises:
        LinkError: a value out of range, a host that the inventory does not have, or two links for one ordered pair.
    """
    links: list[Link] = []
    seen: set[tuple[str, str]] = set()
    for entry in entries:
        link = Link.from_mapping(entry)
        for host in (link.source, link.target):
            if host not in hosts:
                known = ", ".join(sorted(hosts)) or "none"
                raise LinkError(
                    f"{link.path}: the inventory has no host {host!r} with a data_address; it has {known}. "
                    "Correct the name in netem_links or add the host."
                )
        if (link.source, link.target) in seen:
            raise LinkError(f"{link.path}: netem_links names this ordered pair twice. Keep one of them.")
        seen.add((link.source, link.target))
        links.append(link)
    return links
