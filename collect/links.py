"""The link verification of a run: what ``roles/netem`` measured before and after, as collect reads it."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

BY = {4: "", 6: " by IPv6"}


class Histogram(BaseModel):
    """Counts of delays between neighbouring edges, and how many should be there: one edge more than counts."""

    model_config = ConfigDict(frozen=True)

    edges_ms: tuple[float, ...]
    counts: tuple[int, ...]
    target: tuple[float, ...] = ()


class Chain(BaseModel):
    """Loss in bursts: chances to enter and leave a bad state, and the share lost in it and out of it."""

    model_config = ConfigDict(frozen=True)

    enter_percent: float
    leave_percent: float
    bad_loss_percent: float = 100.0
    good_loss_percent: float = 0.0


class LinkCheck(BaseModel):
    """One ordered pair: its target, what the probes measured with 95 % intervals, and whether it is within bounds.

    ``family`` is 4 or 6: nodes with both kinds of address have a check for each.
    With ``clock`` ``shared`` a delay is one way on one machine's clock, with ``round-trip`` it is a round trip, of this
    link and the one back; ``round_trip_*`` is known of both. ``baseline_*`` is what the path had while no link was in
    force, ``control_*`` what probes had that no link shaped, at the same time as the others; ``expected_*`` what link
    and path together should give. With ``compensated_ms`` the link was made shorter by that, so that the two together
    are the delay. ``late_*`` and ``widened_*`` are by how much the gate is wider on a machine whose timers are late
    and whose path wavers (docs/decisions/0005). ``tcp_*`` is what one Reno connection got in Mbit/s, and what the
    formula leaves it.
    """

    model_config = ConfigDict(frozen=True)

    source: str
    target: str
    delay_ms: float
    jitter_ms: float
    distribution: str = "normal"
    loss_percent: float
    loss_correlation_percent: float = 0.0
    gilbert_elliott: Chain | None = None
    rate_mbit: float | None = None
    reorder: bool
    probes: int
    received: int
    family: Literal[4, 6] = 4
    clock: str
    baseline_mean_ms: float | None = None
    baseline_sigma_ms: float | None = None
    control_median_ms: float | None = None
    control_sigma_ms: float | None = None
    mean_ms: float | None = None
    mean_low_ms: float | None = None
    mean_high_ms: float | None = None
    round_trip_mean_ms: float | None = None
    round_trip_low_ms: float | None = None
    round_trip_high_ms: float | None = None
    round_trip_sigma_ms: float | None = None
    expected_median_ms: float | None = None
    expected_sigma_ms: float | None = None
    late_ms: float | None = None
    late_sigma_ms: float | None = None
    widened_ms: float | None = None
    widened_sigma_ms: float | None = None
    sigma_ms: float | None = None
    sigma_low_ms: float | None = None
    sigma_high_ms: float | None = None
    lost: int
    loss_measured_percent: float
    loss_low_percent: float | None = None
    loss_high_percent: float | None = None
    loss_noticed_from_percent: float | None = None
    reordered: int | None = None
    reordered_percent: float | None = None
    reordered_low_percent: float | None = None
    reordered_high_percent: float | None = None
    compensated_ms: float | None = None
    tcp_mbit: float | None = None
    tcp_formula_mbit: float | None = None
    histogram: Histogram | None = None
    ok: bool
    problems: tuple[str, ...] = ()

    @property
    def aim_ms(self) -> tuple[float, float]:
        """The median and the sigma that the probes should have, in ms."""
        return (
            self.delay_ms if self.expected_median_ms is None else self.expected_median_ms,
            self.jitter_ms if self.expected_sigma_ms is None else self.expected_sigma_ms,
        )

    @property
    def asked(self) -> str:
        """What the scenario asks for, as a person would say it."""
        chain, share = self.gilbert_elliott, self.loss_percent
        if chain is not None:
            bad = chain.enter_percent / (chain.enter_percent + chain.leave_percent)
            share = bad * chain.bad_loss_percent + (1 - bad) * chain.good_loss_percent
        jitter = f"{self.jitter_ms:g} ms{'' if self.distribution == 'normal' else f' {self.distribution}'}"
        said = f"{self.delay_ms:g} ± {jitter}, {share:.4g} % loss"
        said += " in bursts" if chain is not None or self.loss_correlation_percent else ""
        said += f", {self.rate_mbit:g} Mbit/s" if self.rate_mbit else ""
        return said + ("" if self.reorder else ", order kept")

    @property
    def name(self) -> str:
        """The link as a person would say it."""
        return f"{self.source} → {self.target}{BY[self.family]}"


class LinkReport(BaseModel):
    """All links of a run at one moment; ``backend`` is what shaped them."""

    model_config = ConfigDict(frozen=True)

    taken_at: str
    backend: str
    links: tuple[LinkCheck, ...]
