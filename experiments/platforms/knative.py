"""Replicas as pods of Knative Services on a Kubernetes cluster, behind Kourier."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from experiments.platforms.platform import FIRST_PORT, Platform

if TYPE_CHECKING:
    from collections.abc import Sequence

    from experiments.service import Service


class Knative(Platform):
    """One gateway for all services, which tells them apart by the Host header."""

    name: ClassVar[str] = "knative"
    is_made: ClassVar[bool] = True
    is_cluster: ClassVar[bool] = True
    runs_images: ClassVar[bool] = True
    has_gpus: ClassVar[bool] = True
    beside_first: ClassVar[str | None] = "the k3s server, Knative and its activator"
    # Knative's shortest window without requests (6 s), its grace period (30 s), and the time a replica takes to end.
    ends_replicas_after_s: ClassVar[float | None] = 60
    # A sysctl of the pods of gateways and activator, which all services share.
    congestion_control_by_service: ClassVar[bool] = False

    def port(self, index: int) -> int:
        """Return the gateway's port."""
        del index
        return FIRST_PORT

    def variables(self, services: Sequence[Service]) -> dict[str, Any]:
        """Return the congestion control that all services have."""
        return {"knative_congestion_control": services[0].congestion_control}
