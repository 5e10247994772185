"""What the nodes of a group give to a replica, where that is less than they have."""

from __future__ import annotations

from pydantic import Field, model_validator

from experiments.spec.fields import Model

# What a replica of the study's function has before its first request, and what a cluster's replicas request.
LEAST_MEMORY_MIB = 512


class ResourcesSpec(Model):
    """CPU time and memory that each replica on a node of the group has at most."""

    cpus: float | None = Field(
        default=None,
        ge=0.05,
        le=1024,
        description="CPU time that a replica has at most, in CPUs: 0.5 is half of one. On the platform process a "
        "replica runs on one core, so at most 1.",
    )
    memory_mib: int | None = Field(
        default=None,
        ge=LEAST_MEMORY_MIB,
        le=2**20,
        description="Memory that a replica has at most; the kernel ends one that needs more.",
    )

    @model_validator(mode="after")
    def _limits_something(self) -> ResourcesSpec:
        if self.cpus is None and self.memory_mib is None:
            raise ValueError("expected cpus, memory_mib or both")
        return self
