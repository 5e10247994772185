"""The function of a scenario: what runs, how often, and where."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from experiments.spec.fields import Model


class FunctionSpec(Model):
    """The function: how many replicas, and the first of the groups that the inventory fills.

    With ``scale_to_zero`` replicas end when idle and start with the next request, where the platform can do that.
    ``model`` and ``options`` are settings of the workload training (``pac`` and none, unless they are named).
    """

    nodes: tuple[str, ...] = Field(min_length=1)
    replicas: int = Field(ge=1)
    scale_to_zero: bool = False
    model: str | None = None
    options: dict[str, Any] | None = None
