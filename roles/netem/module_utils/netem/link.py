"""One direction of a network path: what it shall do, and how to say that to a person, to `tc` and to the emulator."""

from __future__ import annotations

import math
import re
import zlib
from dataclasses import asdict, dataclass, fields, replace
from typing import TYPE_CHECKING, Any

from .loss import Chain, correlated
from .tables import DEPTH, DISTRIBUTIONS, SCALE, table

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

MTU_BYTES = 1500
UNLIMITED_MBIT = 10_000  # the speed that queues are sized for where no rate is set
UNFELT_MBIT = 100_000  # where tc wants a rate though none is asked for: 0.1 us a frame
INTERFACE_NAME_MAX = 15
NUMBERS = (
    "delay_ms", "jitter_ms", "loss_percent", "loss_correlation_percent", "duplicate_percent", "corrupt_percent",
    "rate_mbit", "limit_packets", "seed",
)  # fmt: skip
OPTIONAL = ("rate_mbit", "limit_packets", "seed")
WHOLE = ("limit_packets", "seed")
LARGEST_WHOLE = {"limit_packets": 2**31 - 1, "seed": 2**64 - 1}


class LinkError(ValueError):
    """A link that cannot be: one sentence that names it and what to change."""


@dataclass(frozen=True)
class Link:
    """A one-way path from source to target: what `tc-netem(8)` calls delay, jitter and loss.

    Args:
        source: the node that sends, as the inventory calls it.
        target: the node that the frames are for.
        delay_ms: mean delay, in milliseconds.
        jitter_ms: what `tc-netem(8)` calls jitter: sigma of the normal distribution around the delay, half the width of
            the uniform one, the scale of the others. No draw may ask for less than no delay, because netem would then
            send at once and the mean would no longer be the delay: for `normal` that is a quarter of the delay.
        loss_percent: share of frames that never arrive.
        distribution: normal, pareto, paretonormal or uniform.
        loss_correlation_percent: correlation of a frame's loss with the one's in front; the share lost stays.
        gilbert_elliott: loss in bursts by a chain of two states, in place of the two before.
        duplicate_percent: share of frames that are sent twice.
        corrupt_percent: share of frames that have one bit turned.
        rate_mbit: speed of the link, or None for the interface's own.
        limit_packets: how many frames the link holds, or None for what rate and delay need.
        reorder: whether a frame may overtake one that drew a longer delay, as a bare `netem delay D J` lets it.
        seed: makes the draws repeatable.

    Raises:
        LinkError: a value is out of range; the message names the link, the value and the limit.
    """

    source: str
    target: str
    delay_ms: float
    jitter_ms: float = 0.0
    loss_percent: float = 0.0
    distribution: str = "normal"
    loss_correlation_percent: float = 0.0
    gilbert_elliott: Chain | None = None
    duplicate_percent: float = 0.0
    corrupt_percent: float = 0.0
    rate_mbit: float | None = None
    limit_packets: int | None = None
    reorder: bool = True
    seed: int | None = None

    def __post_init__(self) -> None:
        for name in NUMBERS:
            value = getattr(self, name)
            if value is not None or name not in OPTIONAL:
                self._check_number(name, value)
        if not isinstance(self.reorder, bool):
            raise LinkError(f"{self.path}: reorder is {self.reorder!r}, but has to be true or false.")
        if self.source == self.target:
            raise LinkError(f"{self.path}: a link joins two different nodes.")
        if self.rate_mbit == 0:
            raise LinkError(f"{self.path}: rate_mbit is 0: nothing would pass. Leave it out for no limit.")
        if self.limit_packets == 0:
            raise LinkError(
                f"{self.path}: limit_packets is 0: nothing would pass. Leave it out for what the link needs."
            )
        self._check_jitter()
        self._check_loss()

    def _check_number(self, name: str, value: Any) -> None:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            raise LinkError(f"{self.path}: {name} is {value!r}, but has to be a number.")
        if value < 0:
            raise LinkError(f"{self.path}: {name} is {value:g}, but must not be negative.")
        if name.endswith("_percent") and value > 100:
            raise LinkError(f"{self.path}: {name} is {value:g}, more than 100.")
        if name in WHOLE and (not isinstance(value, int) or value > LARGEST_WHOLE[name]):
            raise LinkError(
                f"{self.path}: {name} is {value!r}, but has to be a whole number of at most {LARGEST_WHOLE[name]}."
            )

    def _check_jitter(self) -> None:
        if self.distribution not in DISTRIBUTIONS:
            raise LinkError(
                f"{self.path}: distribution is {self.distribution!r}, but has to be one of {', '.join(DISTRIBUTIONS)}."
            )
        most_ms = self.delay_ms / DEPTH[self.distribution]
        if self.jitter_ms > most_ms:
            share = "a quarter of delay_ms" if self.distribution == "normal" else f"{self.distribution} bears"
            raise LinkError(
                f"{self.path}: jitter_ms is {self.jitter_ms:g}, more than {share} ({self.delay_ms:g}): "
                f"draws below zero would shift the mean. Set it to at most {math.floor(most_ms * 1e6) / 1e6:g}."
            )

    def _check_loss(self) -> None:
        chain = self.gilbert_elliott
        if chain is not None:
            if self.loss_percent or self.loss_correlation_percent:
                raise LinkError(
                    f"{self.path}: gilbert_elliott says how frames are lost, and so does loss_percent. Keep one of them."
                )
            for name, value in asdict(chain).items():
                self._check_number(f"gilbert_elliott.{name}", value)
            if not chain.enter_percent or not chain.leave_percent:
                raise LinkError(
                    f"{self.path}: gilbert_elliott needs enter_percent and leave_percent above 0: "
                    "a state that is never entered or left is loss_percent alone."
                )
        if self.loss_correlation_percent and not 0 < self.loss_percent < 100:
            raise LinkError(
                f"{self.path}: loss_correlation_percent is {self.loss_correlation_percent:g}, but loss_percent is "
                f"{self.loss_percent:g}: only a loss between 0 and 100 can come in bursts."
            )
        if self.loss_correlation_percent == 100:
            raise LinkError(
                f"{self.path}: loss_correlation_percent is 100: the first frame would decide for all. Set less."
            )

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> Link:
        """Return the link that an entry of `netem_links` describes; a value that is null counts as left out.

        Raises:
            LinkError: an unknown key, a missing one or a value out of range.
        """
        path = f"{values.get('source', '?')} -> {values.get('target', '?')}"
        given = {key: value for key, value in values.items() if value is not None}
        _check_keys(path, "a link", given, cls, ("source", "target", "delay_ms"))
        chain = given.get("gilbert_elliott")
        if chain is not None and not isinstance(chain, Chain):
            if not isinstance(chain, dict):
                raise LinkError(f"{path}: gilbert_elliott is {chain!r}, but has to be enter_percent, leave_percent, ….")
            _check_keys(path, "gilbert_elliott", chain, Chain, ("enter_percent", "leave_percent"))
            given["gilbert_elliott"] = Chain(**chain)
        return cls(**given)

    @property
    def path(self) -> str:
        """The ordered pair, as a person would write it."""
        return f"{self.source} -> {self.target}"

    def __str__(self) -> str:
        shape = f"{self.delay_ms:g} ms"
        if self.jitter_ms:
            shape += f" ± {self.jitter_ms:g} ms" + (f" {self.distribution}" if self.distribution != "normal" else "")
        if chain := self.gilbert_elliott:
            shape += f", {100 * chain.loss:.4g} % loss (Gilbert-Elliott {chain.enter_percent:g}/{chain.leave_percent:g}"
            shape += f"/{chain.bad_loss_percent:g}/{chain.good_loss_percent:g} %)"
        else:
            shape += f", {self.loss_percent:g} % loss"
        if self.loss_correlation_percent:
            shape += f" ({self.loss_correlation_percent:g} % correlated)"
        if self.duplicate_percent:
            shape += f", {self.duplicate_percent:g} % duplicated"
        if self.corrupt_percent:
            shape += f", {self.corrupt_percent:g} % corrupted"
        if self.rate_mbit is not None:
            shape += f", {self.rate_mbit:g} Mbit/s"
        if self.limit_packets is not None:
            shape += f", {self.limit_packets} packets at most"
        if not self.reorder:
            shape += ", order kept"
        if self.seed is not None:
            shape += f", seed {self.seed}"
        return f"{self.path}: {shape}"

    def beyond(self, path_ms: float) -> Link:
        """Return the link that makes this one of a path which takes so many ms by itself.

        Raises:
            LinkError: what is left of the delay is less than nothing, or too little for the jitter.
        """
        try:
            return replace(self, delay_ms=round(self.delay_ms - path_ms, 6))
        except LinkError as error:
            raise LinkError(
                f"{self.path}: the path alone takes {path_ms:.3f} ms of delay_ms ({self.delay_ms:g}), and what is left is "
                f"too little ({error}). Set netem_compensate_path to false, or ask for a longer delay."
            ) from error

    @property
    def chain(self) -> Chain | None:
        """The chain by which frames are lost in bursts, or None where each is lost by its own draw."""
        if self.loss_correlation_percent:
            return correlated(self.loss_percent, self.loss_correlation_percent)
        return self.gilbert_elliott

    @property
    def queue_packets(self) -> int:
        """How many full frames the link holds: limit_packets, or rate / MTU * (delay + 4 sigma) * 1.5, at least 1000.

        netem's own default of 1000 drops under bulk traffic; it is this formula's floor.
        """
        if self.limit_packets is not None:
            return self.limit_packets
        bits = (self.rate_mbit or UNLIMITED_MBIT) * 1000 * (self.delay_ms + 4 * self.jitter_ms)
        return max(1000, math.ceil(bits / 8 / MTU_BYTES * 1.5))

    def tc_class(self) -> list[str]:
        """Return the arguments of the link's HTB class: the place where a rate is kept while frames may overtake."""
        rate_mbit = self.rate_mbit if self.rate_mbit and self.reorder else UNFELT_MBIT
        # tc's own burst is one frame, or none at rates like this: HTB then waits for its timer between any two.
        burst = str(max(2 * MTU_BYTES + 200, round(rate_mbit * 12.5)))  # 0.1 ms
        return ["htb", "rate", f"{rate_mbit:g}mbit", "burst", burst, "cburst", burst, "quantum", "60000"]

    def tc_netem(self) -> list[str]:
        """Return the arguments of the link's netem leaf.

        Jitter reorders unless netem has a rate: it then sends no frame before the one in front (sch_netem.c,
        netem_enqueue). So a link that keeps order gets its rate there, or one too high to be felt.
        """
        arguments = ["netem", "limit", str(self.queue_packets), "delay", f"{self.delay_ms:g}ms"]
        if self.jitter_ms:
            arguments += [f"{self.jitter_ms:g}ms", "distribution", self.distribution]
        if chain := self.chain:
            shares = (chain.enter_percent, chain.leave_percent, chain.bad_loss_percent, chain.good_loss_percent)
            arguments += ["loss", "gemodel", *(f"{share:.9g}%" for share in shares)]
        elif self.loss_percent:
            arguments += ["loss", f"{self.loss_percent:g}%"]
        if self.duplicate_percent:
            arguments += ["duplicate", f"{self.duplicate_percent:g}%"]
        if self.corrupt_percent:
            arguments += ["corrupt", f"{self.corrupt_percent:g}%"]
        if not self.reorder:
            arguments += ["rate", f"{self.rate_mbit or UNFELT_MBIT:g}mbit"]
        if self.seed is not None:
            arguments += ["seed", str(self.seed)]
        return arguments

    def tc_change(self, old: Link) -> list[str]:
        """Return the arguments that turn the leaf of another link into this one's.

        What a change does not name netem keeps (sch_netem.c, netem_change): so what is to go is named as none.
        """
        arguments, before = self.tc_netem(), old.tc_netem()
        for word, none in (("corrupt", "0%"), ("rate", "0bit")):
            if word in before and word not in arguments:
                arguments += [word, none]
        return arguments

    def emulator(self, interface: str) -> dict[str, Any]:
        """Return what `files/emulator.py` reads: shares of one, nanoseconds, the interface and the TAP."""
        rate = self.rate_mbit
        return {
            "source": self.source,
            "target": self.target,
            "interface": interface,
            "tap": self.tap,
            "delay_ns": self.delay_ms * 1e6,
            "jitter_ns": self.jitter_ms * 1e6 / SCALE,
            "table": table(self.distribution) if self.jitter_ms else [],
            "loss": self.loss_percent / 100,
            "chain": self.chain and self.chain.shares,
            "duplicate": self.duplicate_percent / 100,
            "corrupt": self.corrupt_percent / 100,
            "ns_per_byte": 8000 / rate if rate else 0.0,
            "limit": self.queue_packets,
            "reorder": self.reorder,
            "seed": self.seed,
        }

    @property
    def tap(self) -> str:
        """The emulator's TAP towards the target: its name if an interface can have it, else its check sum."""
        name = f"fb-{self.target}"
        fits = len(name) <= INTERFACE_NAME_MAX and re.fullmatch(r"[A-Za-z0-9_.-]+", name)
        return name if fits else f"fb-{zlib.crc32(self.target.encode()):08x}"


def _check_keys(path: str, what: str, values: Mapping[str, Any], kind: type, needed: Sequence[str]) -> None:
    known = sorted(field.name for field in fields(kind))
    for key in values:
        if key not in known:
            raise LinkError(f"{path}: {what} has no {key!r}; it has {', '.join(known)}.")
    for key in needed:
        if values.get(key) is None:
            raise LinkError(f"{path}: {key} is missing" + (f" in {what}." if what != "a link" else "."))


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
