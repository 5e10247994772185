"""The function of a scenario: what runs, how often, and where."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from experiments.spec.fields import Model


class FunctionSpec(Model):
    """The function: what runs, how many replicas, and the first of the groups that the inventory fills.

    With ``scale_to_zero`` replicas end when nobody asks and start with the next request; only a cluster can do that.
    """

    nodes: tuple[str, ...] = Field(min_length=1)
    replicas: int = Field(ge=1)
    scale_to_zero: bool = False
    model: str = "pac"
    options: dict[str, Any] = Field(default_factory=dict)
