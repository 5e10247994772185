"""The link verification of a run: what ``roles/netem`` measured before and after, as collect reads it."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from collect import links_schema_1

SCHEMA = 2
BY = {4: "", 6: " by IPv6"}
# Far more than any testbed has, and than a page can show.
LINKS = 10_000
BINS = 1_000
# Beyond it a delay is none, and nothing can be drawn of it.
LONGEST_MS = 1e9

Milliseconds = Annotated[float, Field(ge=-LONGEST_MS, le=LONGEST_MS)]
Count = Annotated[int, Field(ge=0, le=2**53)]
Host = Annotated[str, Field(max_length=253)]
Words = Annotated[str, Field(max_length=2_000)]


class Model(BaseModel):
    """Frozen, its numbers are finite; the role may say more than collect reads."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)


class Target(Model):
    """The link that was asked for; ``shape`` is its own sentence, the one that the terminal shows."""

    source: Host
    target: Host
    shape: Words


class Sent(Model):
    """How many probes were sent, and how many arrived."""

    sent: Count
    received: Count


class Estimate(Model):
    """Mean and sigma of delays in ms, with 95 % intervals; median and sigma by quartiles are what the gate judges."""

    mean_ms: Milliseconds
    mean_low_ms: Milliseconds
    mean_high_ms: Milliseconds
    sigma_ms: Milliseconds
    sigma_low_ms: Milliseconds
    sigma_high_ms: Milliseconds
    median_ms: Milliseconds | None = None
    quartile_sigma_ms: Milliseconds | None = None


class Level(Model):
    """Median and sigma of delays in ms."""

    median_ms: Milliseconds
    sigma_ms: Milliseconds


class Share(Model):
    """How many of the probes, and as a share with its 95 % interval where that is known."""

    count: Count
    percent: float
    low_percent: float | None = None
    high_percent: float | None = None


class LossShare(Share):
    """The probes that were lost; a loss from ``detectable_percent`` on is refused 19 times in 20."""

    detectable_percent: float | None = None


class Path(Model):
    """What the path has by itself: while no link was in force, and beside the link by probes that no link shaped.

    With ``compensated_ms`` the link was made shorter by that, so that path and link together are the delay.
    """

    baseline: Level | None = None
    control: Level | None = None
    compensated_ms: Milliseconds | None = None


class Gate(Model):
    """By how much the gate is wider on a machine whose timers are late and whose path varies (docs/decisions/0005)."""

    late_ms: Milliseconds = 0.0
    late_sigma_ms: Milliseconds = 0.0
    median_ms: Milliseconds = 0.0
    sigma_ms: Milliseconds = 0.0


class Tcp(Model):
    """What one Reno connection got in Mbit/s, and what the formula leaves it."""

    mbit: float
    formula_mbit: float | None = None


class Histogram(Model):
    """Counts of delays between neighbouring edges, and how many should be there: one edge more than counts."""

    edges_ms: tuple[Milliseconds, ...] = Field(max_length=BINS + 1)
    counts: tuple[Count, ...]
    target: tuple[Annotated[float, Field(ge=0, le=1e15)], ...] = ()

    @model_validator(mode="after")
    def _can_be_drawn(self) -> Histogram:
        if len(self.edges_ms) != len(self.counts) + 1 or len(self.target) not in (0, len(self.counts)):
            raise ValueError("one edge more than counts, and as many of the target as counts, if any")
        if any(high <= low for low, high in pairwise(self.edges_ms)):
            raise ValueError("edges that do not increase")
        if self.target and not sum(self.target):
            raise ValueError("a target without a part")
        return self


class LinkCheck(Model):
    """One ordered pair: its target, what the probes measured, and whether it is within bounds.

    ``family`` is 4 or 6: nodes with both kinds of address have a check for each.
    With ``clock`` ``shared`` a delay is one way on one machine's clock, with ``round-trip`` it is a round trip, of this
    link and the one back; ``round_trip`` is known of both. ``expected`` is what link and path together should give.
    ``delay`` to ``histogram`` are missing where too few probes were answered. ``measured_before`` are the measurements
    of the same verification that were off, before one that was not.
    """

    link: Target
    family: Literal[4, 6] = 4
    clock: Host
    probes: Sent
    loss: LossShare
    reordered: Share | None = None
    path: Path = Path()
    delay: Estimate | None = None
    round_trip: Estimate | None = None
    expected: Level | None = None
    gate: Gate | None = None
    tcp: Tcp | None = None
    histogram: Histogram | None = None
    ok: bool
    problems: tuple[Words, ...] = ()
    measured_before: tuple[Words, ...] = ()

    @property
    def name(self) -> str:
        """The link as a person would say it."""
        return f"{self.link.source} → {self.link.target}{BY[self.family]}"

    @property
    def round_trip_ms(self) -> float | None:
        """The mean round trip over this link and the one back, where it was measured as such."""
        measured = self.delay if self.clock != "shared" else self.round_trip
        return measured.mean_ms if measured is not None else None


class LinkReport(Model):
    """All links of a run at one moment; ``backend`` is what shaped them."""

    taken_at: Host
    backend: Words
    links: tuple[LinkCheck, ...] = Field(max_length=LINKS)

    @model_validator(mode="before")
    @classmethod
    def _of_an_older_schema(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        schema = values.get("schema", 1)
        if type(schema) is not int or schema < 1:
            raise ValueError(f"unknown schema {str(schema)[:40]!r}: expected a number up to {SCHEMA}")
        if schema > SCHEMA:
            raise ValueError(f"schema {schema} is newer than this faasbed, which reads up to schema {SCHEMA}")
        return links_schema_1.upgraded(values) if schema == 1 else values
