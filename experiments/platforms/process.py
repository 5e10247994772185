"""Replicas as supervised processes behind an Envoy for each service: no cluster needed."""

from __future__ import annotations

from typing import ClassVar

from experiments.platforms.platform import Platform


class Process(Platform):
    """A gateway a service, each on a port of its own, so the Host header tells nothing."""

    name: ClassVar[str] = "process"
    # A replica is bound to one core.
    most_cpus: ClassVar[float | None] = 1
    calibrates: ClassVar[bool] = True
