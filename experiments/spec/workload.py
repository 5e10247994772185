"""The workload of a scenario: what its requests are, and what is done with the replies."""

from __future__ import annotations

from typing import Any

from pydantic import ConfigDict, Field

from experiments.spec.fields import Model


class WorkloadSpec(Model):
    """What the requests are and what is done with the replies; other keys are the workload's own settings."""

    model_config = ConfigDict(extra="allow")

    name: str = Field(
        default="training", description="The workload, see below; its own settings stand beside this key."
    )

    @property
    def own(self) -> dict[str, Any]:
        """The workload's own settings."""
        return dict(self.model_extra or {})
