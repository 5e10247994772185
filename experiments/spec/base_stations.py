"""The base stations of a scenario: who of them has which data, and to which nodes each one sends."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from experiments.spec.fields import Model

# Below it nearly all texts of a label are with one base station, whatever else is drawn.
LEAST_ALPHA = 0.01
Weight = Annotated[float, Field(gt=0, le=1e6)]


class BaseStationsSpec(Model):
    """How several base stations share the data and the replicas; of one that is alone all of it is true anyway."""

    division: Literal["even", "weights", "dirichlet"] = Field(
        default="even",
        description="How the training texts are divided among the base stations, drawn again in each repetition: "
        "`even`; by `weights`; or `dirichlet`, where the shares of each label are drawn apart, as federated learning "
        "is measured with. All of them test with the same texts.",
    )
    weights: tuple[Weight, ...] | None = Field(
        default=None, min_length=1, description="How much data each base station has, in the order of the inventory."
    )
    alpha: float | None = Field(
        ge=LEAST_ALPHA,
        le=1e6,
        default=None,
        description="The parameter of `dirichlet`: with 100 all have much the same labels, with 0.1 hardly any.",
    )
    send_to: Literal["all", "nearest"] | dict[str, Weight] = Field(
        default="all",
        description="Where function.sites has several: requests go to `all` of them in turn, to the `nearest`, which "
        "is the one with the least delay there and back, or to some by weights, such as `{edge: 3, cloud: 1}`.",
    )

    @model_validator(mode="after")
    def _keys_of_this_division(self) -> BaseStationsSpec:
        for key, division in (("weights", "weights"), ("alpha", "dirichlet")):
            given = getattr(self, key) is not None
            if given and self.division != division:
                raise ValueError(f"{key}: not used with division {self.division}; set division: {division}")
            if not given and self.division == division:
                raise ValueError(f"{key}: needed with division {division}")
        if self.send_to == {}:
            raise ValueError("send_to: names no site; name one with its weight, or all, or nearest")
        return self
