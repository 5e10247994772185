"""The function of a scenario: what runs, how often, and where."""

from __future__ import annotations

import re
from keyword import iskeyword
from typing import Annotated, Any

from pydantic import Field, field_validator, model_validator

from experiments.spec.fields import MOST_REQUESTS, Model

Replicas = Annotated[int, Field(ge=1, le=MOST_REQUESTS)]

# A reference to an image as registries have it: name, perhaps a tag, digest.
IMAGE = re.compile(
    r"[a-z0-9][a-z0-9._-]*(:\d+)?(/[a-z0-9][a-z0-9._-]*)*(:[A-Za-z0-9_][A-Za-z0-9._-]*)?@sha256:[0-9a-f]{64}"
)


class FunctionSpec(Model):
    """What runs, how often, and on which nodes.

    With ``scale_to_zero`` replicas end when idle and start with the next request, where the platform can do that.
    ``model`` and ``options`` are settings of the workload training (``pac`` and none, unless they are named).
    """

    nodes: tuple[str, ...] | None = Field(
        min_length=1,
        default=None,
        description="Groups of the inventory, in order of preference: the first with enough nodes runs the replicas.",
    )
    replicas: int | None = Field(
        ge=1,
        default=None,
        description="Replicas, each on a node of its own, each serving one request at a time.",
    )
    sites: dict[str, Replicas] | None = Field(
        min_length=1,
        default=None,
        description="In place of nodes and replicas: groups of the inventory that are addressed apart, each with its "
        "replicas, such as `{west: 2, east: 2}`; base_stations.send_to tells who sends where.",
    )
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
    image: str | None = Field(
        default=None,
        max_length=512,
        description="The container image that is served in place of a Python module, by its digest: "
        "`registry/name@sha256:…`, where the platform can do that (knative; docs/your-own-function.md).",
    )
    model: str | None = Field(
        default=None, description="The model that the workload training trains; `pac` unless it is set."
    )
    options: dict[str, Any] | None = Field(
        default=None, description="Options of the function for that workload, such as `folds` (app/README.md)."
    )

    @model_validator(mode="after")
    def _stands_somewhere(self) -> FunctionSpec:
        single = {"nodes": self.nodes, "replicas": self.replicas}
        if self.sites is not None:
            given = next((key for key, value in single.items() if value is not None), None)
            if given is not None:
                raise ValueError(f"{given}: not used with sites, which have their replicas each")
            return self
        missing = next((key for key, value in single.items() if value is None), None)
        if missing is not None:
            raise ValueError(f"{missing}: needed, unless sites are set")
        return self

    @field_validator("module")
    @classmethod
    def _module_can_be_imported(cls, module: str | None) -> str | None:
        if module is not None and not all(part.isidentifier() and not iskeyword(part) for part in module.split(".")):
            raise ValueError(f"invalid module {module!r}: expected the name of a Python module, such as app.word_count")
        return module

    @field_validator("image")
    @classmethod
    def _image_has_a_digest(cls, image: str | None) -> str | None:
        if image is not None and not IMAGE.fullmatch(image):
            raise ValueError(
                f"invalid image {image!r:.200}: expected a name with its digest, registry/name@sha256:<64 digits>, so "
                "that every run measures the same function"
            )
        return image

    @model_validator(mode="after")
    def _one_of_both(self) -> FunctionSpec:
        if self.image is not None and self.module is not None:
            raise ValueError(f"module: image is set too, which serves {self.image:.80}; keep one of them")
        return self
