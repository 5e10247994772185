"""What verification says about a link: the values that it measured, beside the expected ones, and one sentence."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from .delay import by_timers

if TYPE_CHECKING:
    from collections.abc import Callable

    from .estimates import Coarseness, Estimate, Histogram
    from .link import Link

BY = {4: "", 6: " by IPv6"}


@dataclass(frozen=True)
class Level:
    """The middle of some delays and how far they spread, by median and quartiles."""

    median_ms: float
    sigma_ms: float


@dataclass(frozen=True)
class Share:
    """How many of the probes, and as a share with its 95 % interval."""

    count: int
    percent: float
    low_percent: float
    high_percent: float


@dataclass(frozen=True)
class LossShare(Share):
    """How many probes were lost; from `detectable_percent` on the gate refuses a loss 19 times in 20."""

    detectable_percent: float


@dataclass(frozen=True)
class Sent:
    """How many probes were sent, arrived, arrived twice (None: not counted) and arrived far too late (None: not known)."""

    sent: int
    received: int
    duplicated: int | None
    stalled: int | None


@dataclass(frozen=True)
class Path:
    """What the path has by itself.

    Attributes:
        baseline: while no link was in force.
        control: at the same time as the link was measured, by probes that no link shaped.
        compensated_ms: the part of it that was taken off the delay that is made; None where it comes on top.
    """

    baseline: Level | None
    control: Level | None
    compensated_ms: float | None


@dataclass(frozen=True)
class Tcp:
    """What one TCP connection got in Mbit/s, and what the formula leaves it; None where nothing limits it."""

    mbit: float
    formula_mbit: float | None


@dataclass(frozen=True)
class Delays:
    """What the probes that arrived tell of delays.

    Attributes:
        delay: what is judged, one way where both nodes read one clock, else there and back.
        round_trip: there and back.
        expected: what link and path together should give.
        gate: by how much the gate is wider on this machine.
        histogram: returns that of what is judged; drawn for the report only, because it costs more than all the rest.
    """

    delay: Estimate
    round_trip: Estimate
    expected: Level
    gate: Coarseness
    histogram: Callable[[], Histogram] = field(compare=False, repr=False)


@dataclass(frozen=True)
class Verdict:
    """A link, what was measured of it, and whether it is what was asked for.

    Attributes:
        link: what was asked for.
        family: 4 or 6, by which kind of address it was probed.
        one_way: whether delays are one way, because both nodes read one clock; else they are round trips.
        probes: how many were sent and received.
        loss: how many were lost.
        reordered: how many of those that were answered arrived after a later one.
        path: what the path has by itself.
        delays: None where too few probes arrived to tell.
        tcp: None where it was not measured.
        problems: in which respects the link is not what was asked for, or could not be judged.
        disturbed: whether the machine had a part in them, so that the measurement says little about the link.
        measured_before: the sentences of earlier measurements of the same verification, that were refused.
    """

    link: Link
    family: int
    one_way: bool
    probes: Sent
    loss: LossShare
    reordered: Share
    path: Path
    delays: Delays | None
    tcp: Tcp | None
    problems: tuple[str, ...]
    disturbed: bool
    measured_before: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether the link is what was asked for."""
        return not self.problems

    @property
    def advice(self) -> str | None:
        """What to do about a link that is off, or None."""
        source, target = self.link.source, self.link.target
        if self.ok:
            return None
        if not self.probes.received:
            return (
                f"no probe of {source} reached {target}: see make preflight, which names ports that a firewall closes and "
                "routes that take another way"
            )
        if self.disturbed:
            return f"{source} got too little CPU time to judge its links: end what else runs on it, then verify again"
        if any(problem.startswith("TCP ") for problem in self.problems):
            return (
                f"large packets from {source} to {target} are lost: give the data interfaces and what is between them one "
                "MTU, then apply the links again (playbooks/links.yml)"
            )
        return (
            f"something else delays or drops packets from {source} to {target}: apply the links again "
            "(playbooks/links.yml), and where that does not help look for other qdiscs (tc qdisc), a tunnel or Wi-Fi on the "
            "way"
        )

    def after(self, before: list[str]) -> Verdict:
        """Return the verdict with the sentences of the measurements before it."""
        return replace(self, measured_before=tuple(before))

    def entry(self) -> dict[str, Any]:
        """Return the verdict as the report has it, in JSON's types; `delay` to `histogram` are null where it is not known."""
        entry = asdict(replace(self, delays=None))
        del entry["delays"], entry["one_way"]
        entry |= dict.fromkeys(("delay", "round_trip", "expected", "gate", "histogram"))
        if self.delays is not None:
            entry |= asdict(self.delays) | {"histogram": asdict(self.delays.histogram())}
        return entry | {
            "link": {**self.link.entry(), "shape": self.link.shape},
            "clock": "shared" if self.one_way else "round-trip",
            "ok": self.ok,
            "sentence": str(self),
        }

    def __str__(self) -> str:
        target = f"{self.link.path}{BY[self.family]}: {self.link.shape}"
        again = len(self.measured_before)
        passed = (
            f"ok, only when measured again ({again} before {'was' if again == 1 else 'were'} off)" if again else "ok"
        )
        judgement = passed if self.ok else f"OFF: {'; '.join(self.problems)}"
        if self.delays is None:
            return f"{target}: {judgement}"
        words = [self._delay(self.delays), self._loss()]
        if self.reordered.count:
            words.append(
                f"reordered {self.reordered.percent:.3g} % "
                f"({self.reordered.low_percent:.2g}-{self.reordered.high_percent:.2g})"
            )
        if self.tcp is not None:
            formula = self.tcp.formula_mbit
            words.append(f"TCP {self.tcp.mbit:.3g} Mbit/s" + (f" (formula {formula:.3g})" if formula else ""))
        return f"{target}: {', '.join(words)}: {judgement}"

    def _delay(self, delays: Delays) -> str:
        where = "" if self.one_way else "round trip "
        words = f"measured {where}{delays.delay.median_ms:.3f} ± {delays.delay.quartile_sigma_ms:.3f} ms"
        if (alone := self.path.control or self.path.baseline) is not None:
            words += f" (path alone {alone.median_ms:.3f}{', compensated' if self.path.compensated_ms else ''})"
        gate = delays.gate
        if gate.late_ms or gate.median_ms or gate.sigma_ms:
            words += f", gate wider for this machine: timers + {gate.late_ms:.3f}, path ± {gate.median_ms:.3f}, "
            words += f"jitter ± {gate.sigma_ms:.3f}{by_timers(gate.late_sigma_ms)} ms"
        if self.one_way:
            words += f", round trip {delays.round_trip.mean_ms:.3f} ± {delays.round_trip.sigma_ms:.3f} ms"
        return words

    def _loss(self) -> str:
        return f"lost {self.loss.count} of {self.probes.sent} (detects >= {self.loss.detectable_percent:.2g} %)"
