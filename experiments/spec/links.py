"""The links of a scenario: one-way paths between groups of nodes."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator, model_validator

from experiments.spec.fields import Model, Percent

# A draw below zero sends at once, which bends the distribution: how deep each reaches, in units of the jitter.
DEPTH = {"normal": 4.0, "pareto": 2 / 3, "paretonormal": 1.5, "uniform": 1.0}
MOST_PERCENT = 100


class ChainSpec(Model):
    """Loss in bursts by Gilbert's and Elliott's chain: chances to enter and leave its bad state, loss in each."""

    enter_percent: float = Field(gt=0, le=100, description="Chance that a frame puts the link into the bad state.")
    leave_percent: float = Field(gt=0, le=100, description="Chance that a frame ends the bad state.")
    bad_loss_percent: Percent = Field(default=100, description="Loss in the bad state.")
    good_loss_percent: Percent = Field(default=0, description="Loss in the good state.")


class LinkSpec(Model):
    """A one-way path between every ordered pair of nodes of two groups, as roles/netem's ``netem_links`` has it."""

    between: Literal["all"] | tuple[str, str] = Field(
        default="all",
        description="`all` nodes of the scenario, or two groups such as `[base_stations, edge]`; both directions.",
    )
    delay_ms: float = Field(ge=0, le=10_000, description="One-way delay; a round trip takes twice as long.")
    jitter_ms: float = Field(
        ge=0,
        default=0,
        description="Spread of the delay: sigma of normal, half the width of uniform, scale of the others.",
    )
    distribution: Literal["normal", "pareto", "paretonormal", "uniform"] | None = Field(
        default=None, description="Distribution of the delay; normal unless it is set."
    )
    loss_percent: Percent = Field(default=0, description="Share of frames that are lost.")
    loss_correlation_percent: float | None = Field(
        ge=0, lt=100, default=None, description="Loss in bursts: how much a frame's loss depends on the previous one's."
    )
    gilbert_elliott: ChainSpec | None = Field(
        default=None, description="Loss in bursts by a chain of two states, in place of loss_percent."
    )
    duplicate_percent: Percent | None = Field(default=None, description="Share of frames that arrive twice.")
    corrupt_percent: Percent | None = Field(default=None, description="Share of frames with one bit flipped.")
    rate_mbit: float | None = Field(
        gt=0, default=None, description="Rate of the link in Mbit/s; not limited unless set."
    )
    limit_packets: int | None = Field(
        gt=0,
        lt=2**31,
        default=None,
        description="Queue length in packets; unless it is set, long enough for the rate and the delay.",
    )
    reorder: bool = Field(
        default=True,
        description="Whether jitter may reorder frames, as a plain `tc … netem delay` does; `false` keeps their order.",
    )
    seed: int | None = Field(
        ge=0, lt=2**32, default=None, description="Seed of the link's random numbers, for the same draws in each run."
    )

    @field_validator("between", mode="before")
    @classmethod
    def _all_or_two_groups(cls, value: object) -> object:
        pair = isinstance(value, list | tuple) and [type(group) for group in value] == [str, str]
        if value != "all" and not pair:
            raise ValueError(f"{value!r} is neither all nor two groups, such as [base_stations, edge]")
        return value

    @model_validator(mode="after")
    def _jitter_fits_the_delay(self) -> LinkSpec:
        distribution = self.distribution or "normal"
        most_ms = self.delay_ms / DEPTH[distribution]
        if self.jitter_ms > most_ms:
            raise ValueError(
                f"jitter_ms {self.jitter_ms:g} is too large for a {distribution} distribution at delay_ms "
                f"{self.delay_ms:g}, which would fall below zero; use at most {most_ms:g}"
            )
        return self

    @model_validator(mode="after")
    def _loss_is_said_once(self) -> LinkSpec:
        if self.gilbert_elliott and (self.loss_percent or self.loss_correlation_percent):
            raise ValueError("gilbert_elliott says how frames are lost, and so does loss_percent; keep one of them")
        if self.loss_correlation_percent and not 0 < self.loss_percent < MOST_PERCENT:
            raise ValueError("loss_correlation_percent needs a loss_percent between 0 and 100 that comes in bursts")
        return self
