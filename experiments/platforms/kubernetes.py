"""Replicas as pods of Deployments on a Kubernetes cluster, behind an Envoy for each service, without a framework."""

from __future__ import annotations

from typing import ClassVar

from experiments.platforms.platform import Platform


class Kubernetes(Platform):
    """A gateway a service, each on a port of its own, as on processes; replicas stay, as nothing scales them."""

    name: ClassVar[str] = "kubernetes"
    is_made: ClassVar[bool] = True
    is_cluster: ClassVar[bool] = True
    has_gpus: ClassVar[bool] = True
    beside_first: ClassVar[str | None] = "the k3s server"
