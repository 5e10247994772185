"""The data of a scenario: how the data set is cut for each repetition."""

from __future__ import annotations

from pydantic import Field, model_validator

from experiments.spec.fields import Model, Share

# Rounding of shares such as 0.2 + 0.4 + 0.4 must not be called more than one.
SHARES_TOLERANCE = 1e-9


class DataSpec(Model):
    """The shares of the data set that test and train, drawn again in each repetition and the same for all scenarios."""

    test_share: Share = Field(description="Share of the texts on which the final model is scored.")
    training_shares: tuple[Share, ...] = Field(
        min_length=1,
        description="Share of the texts that each request trains on; as many as requests.parallel. With other "
        "arrivals the requests take them in turn, one a replica unless they are set, one in all with function.sites.",
    )

    @model_validator(mode="after")
    def _shares_fit(self) -> DataSpec:
        total = self.test_share + sum(self.training_shares)
        if total > 1 + SHARES_TOLERANCE:
            raise ValueError(f"test_share and training_shares sum to {total:g}: together they can be 1 at most")
        return self


def equal_shares(parts: int) -> dict[str, object]:
    """Return the shares of a scenario that names none: a fifth to test with, the rest in equal parts to train with."""
    return {"test_share": 0.2, "training_shares": [0.8 / parts] * parts}
