"""One direction of a network path: what it shall do, and how to say that to a person, to `tc` and to the emulator."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace
from typing import TYPE_CHECKING, Any, TypeVar

from .delay import Delay
from .loss import Loss
from .properties import MTU_BYTES, PROPERTIES, UNFELT_MBIT, Order, Rate, Seed, values
from .property import Property, PropertyError, parsed, required

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

ENDS = ("source", "target")

P = TypeVar("P", bound=Property)


class LinkError(ValueError):
    """A link that cannot be: one sentence that names it and what to change."""


@dataclass(frozen=True)
class Link:
    """A one-way path from source to target.

    Args:
        source: the node that sends, as the inventory calls it.
        target: the node that the frames are for.
        properties: one of each kind in `PROPERTIES`, in that order.

    Raises:
        LinkError: it joins a node with itself.
    """

    source: str
    target: str
    properties: tuple[Property, ...]

    def __post_init__(self) -> None:
        if self.source == self.target:
            raise LinkError(f"{self.path}: a link joins two different nodes.")

    @classmethod
    def between(cls, source: str, target: str, **entry: Any) -> Link:
        """Return the link with these values of its properties; a value that is None counts as left out.

        Raises:
            LinkError: an unknown key, a missing one or a value out of range; with the link, the value and the range.
        """
        try:
            return cls(source, target, properties_of(entry))
        except PropertyError as error:
            raise LinkError(f"{source} -> {target}: {error}.") from error

    @classmethod
    def from_mapping(cls, entry: Mapping[str, Any]) -> Link:
        """Return the link that an entry of `netem_links` describes; raises as `between`."""
        for end in ENDS:
            if entry.get(end) is None:
                raise LinkError(f"{entry.get('source', '?')} -> {entry.get('target', '?')}: {end} is missing.")
        return cls.between(**entry)

    def of(self, kind: type[P]) -> P:
        """Return the link's property of a kind."""
        return next(one for one in self.properties if isinstance(one, kind))

    @property
    def delay(self) -> Delay:
        """How long frames take."""
        return self.of(Delay)

    @property
    def loss(self) -> Loss:
        """Which of them are lost."""
        return self.of(Loss)

    @property
    def rate_mbit(self) -> float | None:
        """The speed of the link, or None for the interface's own."""
        return self.of(Rate).rate_mbit

    @property
    def reorder(self) -> bool:
        """Whether frames may be reordered."""
        return self.of(Order).reorder

    @property
    def seed(self) -> int | None:
        """Seed of the random numbers, or None where each run draws others."""
        return self.of(Seed).seed

    @property
    def path(self) -> str:
        """The ordered pair, as a person would write it."""
        return f"{self.source} -> {self.target}"

    @property
    def shape(self) -> str:
        """What the link does, as a person would say it: the only place where a link is put into words."""
        return ", ".join(words for one in self.properties if (words := one.words()))

    def __str__(self) -> str:
        return f"{self.path}: {self.shape}"

    def entry(self) -> dict[str, Any]:
        """Return the link as an entry of `netem_links` with all its keys."""
        entry: dict[str, Any] = {"source": self.source, "target": self.target}
        for one in self.properties:
            entry |= asdict(one)
        return entry

    def beyond(self, path_ms: float) -> Link:
        """Return the link that makes this one of a path which takes so many ms by itself.

        Raises:
            LinkError: what is left of the delay is negative, or too little for the jitter.
        """
        try:
            delay = replace(self.delay, delay_ms=round(self.delay.delay_ms - path_ms, 6))
        except PropertyError as error:
            raise LinkError(
                f"{self.path}: the path alone takes {path_ms:.3f} ms of delay_ms ({self.delay.delay_ms:g}), and the rest "
                f"is too little ({error}). Set netem_compensate_path to false, or ask for a longer delay."
            ) from error
        return replace(self, properties=tuple(delay if isinstance(one, Delay) else one for one in self.properties))

    def lost(self, family: int | None = None) -> float:
        """Return the share of frames that the link loses, damaged ones included; for a family, the share of probes."""
        chain = self.loss.chain
        return chain.loss + (1 - chain.loss) * self.damaged(family)

    def damaged(self, family: int | None = None) -> float:
        """Return the share of frames that the link damages; for a family, of probes, and only so that they are lost."""
        intact = 1.0
        for one in self.properties:
            intact *= 1 - one.damaged(family)
        return 1 - intact

    def tc_class(self) -> list[str]:
        """Return the arguments of the link's HTB class: the place where a rate is kept while frames may be reordered."""
        rate_mbit = self.rate_mbit if self.rate_mbit and self.reorder else UNFELT_MBIT
        # tc's own burst is one frame, or none at rates like this: HTB then waits for its timer between any two.
        burst = str(max(2 * MTU_BYTES + 200, round(rate_mbit * 12.5)))  # 0.1 ms
        return ["htb", "rate", f"{rate_mbit:g}mbit", "burst", burst, "cburst", burst, "quantum", "60000"]

    def tc_netem(self) -> list[str]:
        """Return the arguments of the link's netem leaf."""
        return ["netem", *(argument for one in self.properties for argument in one.tc(self))]

    def tc_change(self, old: Link) -> list[str]:
        """Return the arguments that turn the leaf of another link into this one's.

        What a change does not name netem keeps (sch_netem.c, netem_change): so what is to go is named as none.
        """
        arguments, before = self.tc_netem(), old.tc_netem()
        for one in self.properties:
            if one.tc_none and one.tc_none[0] in before and one.tc_none[0] not in arguments:
                arguments += one.tc_none
        return arguments

    def emulator(self) -> dict[str, Any]:
        """Return the link's part of what `emulation.py` reads: what the properties say to it."""
        orders: dict[str, Any] = {"target": self.target}
        for one in self.properties:
            orders |= one.emulator(self)
        return orders


def properties_of(entry: Mapping[str, Any]) -> tuple[Property, ...]:
    """Return the properties that these values make; a value that is None counts as left out.

    Raises:
        PropertyError: an unknown key, a missing one or a value out of range.
    """
    present = {key: one for key, one in entry.items() if one is not None}
    for key in present:
        if key not in values():
            raise PropertyError(f"a link has no {key!r}: expected {', '.join(sorted((*ENDS, *values())))}")
    return tuple(_property(kind, present) for kind in PROPERTIES)


def _property(kind: type[Property], entry: Mapping[str, Any]) -> Property:
    own = {one.name: entry[one.name] for one in fields(kind) if one.name in entry}
    for key in required(kind):
        if key not in own:
            raise PropertyError(f"{key} is missing")
    return kind(**parsed(kind, own))


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
