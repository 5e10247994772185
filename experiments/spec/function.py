"""The function of a scenario: what runs, how often, and where."""

from __future__ import annotations

from keyword import iskeyword
from typing import Any

from pydantic import Field, field_validator

from experiments.spec.fields import Model


class FunctionSpec(Model):
    """What runs, how often, and on which nodes.

    With ``scale_to_zero`` replicas end when idle and start with the next request, where the platform can do that.
    ``model`` and ``options`` are settings of the workload training (``pac`` and none, unless they are named).
    """

    nodes: tuple[str, ...] = Field(
        min_length=1,
        description="Groups of the inventory, in order of preference: the first with enough nodes runs the replicas.",
    )
    replicas: int = Field(ge=1, description="Replicas, each on a node of its own, each serving one request at a time.")
    scale_to_zero: bool = Field(
        default=False,
        description="Replicas end when idle and start with the next request, where the platform can do that (knative).",
    )
    gpus: int = Field(
        default=0,
        ge=0,
        description="GPUs of each replica, where the platform and its nodes have them (kubernetes, knative).",
    )
    module: str | None = Field(
        default=None,
        description="The Python module that is served; the study's unless it is set (docs/your-own-function.md).",
    )
    model: str | None = Field(
        default=None, description="The model that the workload training trains; `pac` unless it is set."
    )
    options: dict[str, Any] | None = Field(
        default=None, description="Options of the function for that workload, such as `folds` (app/README.md)."
    )

    @field_validator("module")
    @classmethod
    def _module_can_be_imported(cls, module: str | None) -> str | None:
        if module is not None and not all(part.isidentifier() and not iskeyword(part) for part in module.split(".")):
            raise ValueError(f"invalid module {module!r}: expected the name of a Python module, such as app.word_count")
        return module
