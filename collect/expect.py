"""What a scenario file expects of a run: thresholds for CI. They are kept in the run's manifest."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

# The names by which thresholds call the paper's claims.
ClaimName = Literal["faster", "more-spread", "at-times-slower", "same-accuracy", "less-predictable"]
Name = Annotated[str, Field(max_length=64)]
Ratio = Annotated[float, Field(gt=0)]
Accuracy = Annotated[float, Field(ge=0, le=1)]


class Expect(BaseModel):
    """Thresholds, for CI: where one is not met, the exit code is 3."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    max_failed_percent: float | None = Field(
        default=None, ge=0, le=100, description="The largest share of each scenario's repetitions that may fail."
    )
    max_time_ratio: dict[Name, Ratio] = Field(
        default={},
        description="The largest typical ratio of a scenario's response times to those of the reference, by the "
        "scenario's name: `{edge: 0.9}`. The estimate is judged, not its interval.",
    )
    min_accuracy: dict[Name, Accuracy] = Field(
        default={}, description="The smallest median test accuracy, from 0 to 1, by the scenario's name."
    )
    min_quality: dict[Name, dict[Name, float]] = Field(
        default={},
        description="The smallest median of a measure that the scenario's `workload` reads from replies, by the names "
        "of scenario and measure: `{digits-at-edge: {accuracy: 0.9}}`.",
    )
    max_quality: dict[Name, dict[Name, float]] = Field(
        default={}, description="The largest median of such a measure, for those that are better when they are lower."
    )
    claims: dict[Name, tuple[ClaimName, ...]] = Field(
        default={},
        description="Claims of the paper that have to hold, by the name of the scenario that is compared with the "
        "reference; one that is undecided does not. Each of `faster`, `more-spread`, `at-times-slower`, "
        "`same-accuracy`, `less-predictable`.",
    )

    @property
    def scenarios(self) -> frozenset[str]:
        """The scenarios that its thresholds name."""
        return frozenset((*self.max_time_ratio, *self.min_accuracy, *self.min_quality, *self.max_quality, *self.claims))
