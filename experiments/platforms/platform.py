"""What runs the function's replicas: what it can do, and how its services are reached.

A platform is a module beside this one, with the tasks of the same name in ``playbooks/platforms`` and
``roles/function/tasks``; nothing else knows its name. ``function_platform`` in the inventory chooses it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from collections.abc import Sequence

    from experiments.service import Service
    from nodes.inventory import Inventory

# The first port on which services listen, on the data network only.
FIRST_PORT = 31080


class Platform:
    """One platform; what a class does not say is true of most."""

    name: ClassVar[str]
    # Whether something has to be made on the compute nodes before the function comes (playbooks/platforms/<name>).
    is_made: ClassVar[bool] = False
    # Whether it is a Kubernetes cluster, which the manifest describes.
    is_cluster: ClassVar[bool] = False
    # What else the first compute node runs, which is busy while replicas compute; None where that is nothing.
    beside_first: ClassVar[str | None] = None
    # How long a service has to be idle until its replicas have ended; None where they never end.
    ends_replicas_after_s: ClassVar[float | None] = None
    # Whether it runs container images of others.
    runs_images: ClassVar[bool] = False
    # Whether replicas may have GPUs of their own; whether there are any, the platform's role asks the nodes.
    has_gpus: ClassVar[bool] = False
    # The most CPU time that a replica can use, in CPUs; None where only its node says.
    most_cpus: ClassVar[float | None] = None
    # Whether the role can measure what replicas with limits have (function_action calibrate).
    calibrates: ClassVar[bool] = False
    # Whether each service has its own TCP congestion control, or all of them have one.
    congestion_control_by_service: ClassVar[bool] = True

    def port(self, index: int) -> int:
        """Return the port of the experiment's service number ``index`` on its gateway: each has its own."""
        return FIRST_PORT + index

    def host(self, service: str) -> str:
        """Return the Host header of a service's requests."""
        return f"{service}.faasbed.local"

    def drains_by(self, node: str, inventory: Inventory) -> str | None:
        """Return the node that has a compute node's replicas end and start again; None where nobody may.

        Of a cluster it is the first server, as the others may not; of one that is somebody else's nobody may.
        """
        return self.own_server(node, inventory) if self.is_cluster else node

    def own_server(self, node: str, inventory: Inventory) -> str | None:
        """Return the first server of a node's cluster; None where the cluster is somebody else's."""
        return None if inventory.variables[node].get("kubeconfig") else self.first_node(inventory)

    def first_node(self, inventory: Inventory) -> str:
        """Return the node that runs what the platform has once: of a cluster its first server."""
        return (inventory.hosts("k3s_servers") or inventory.hosts("compute"))[0]

    def variables(self, services: Sequence[Service]) -> dict[str, Any]:
        """Return what this platform's own roles have to know of an experiment's services."""
        del services
        return {}
