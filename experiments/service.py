"""A scenario's function as deployed at a site, and how the base stations reach it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any


@dataclass(frozen=True, slots=True)
class Service:
    """A scenario's function as deployed at a site: one replica on each of ``nodes``, reached through ``gateway``.

    ``site`` is the group of the inventory that the nodes are in, and ``host`` the Host header of its requests. Where a
    node of it ``leaves`` meanwhile, its gateway asks another replica in place of one that takes no connection.
    """

    name: str
    site: str
    nodes: tuple[str, ...]
    gateway: str
    gateway_address: str
    gateway_port: int
    host: str
    congestion_control: str
    timeout_s: float
    scale_to_zero: bool = False
    module: str | None = None
    image: str | None = None
    gpus: int = 0
    cpus: float | None = None
    memory_mib: int | None = None
    leaves: bool = False

    @property
    def limits(self) -> str:
        """What each replica has at most, in words; nothing where a node gives it all that it has."""
        cpus = [] if self.cpus is None else [f"{self.cpus:g} CPU{'s' * (self.cpus > 1)}"]
        return " and ".join([*cpus, *([] if self.memory_mib is None else [f"{self.memory_mib} MiB"])])

    @property
    def url(self) -> str:
        """Where base stations send their requests."""
        address = f"[{self.gateway_address}]" if ":" in self.gateway_address else self.gateway_address
        return f"http://{address}:{self.gateway_port}/"

    def serves_as(self, other: Service) -> bool:
        """Return whether another scenario's service would be this one by another name.

        One that scales to zero is not shared: requests of one scenario would keep the other's replicas.
        """
        same = replace(other, name=self.name, host=self.host, gateway_port=self.gateway_port)
        return not self.scale_to_zero and same == self

    def variables(self) -> dict[str, Any]:
        """Return the entry of roles/function's ``function_services``."""
        return {
            "name": self.name,
            "nodes": list(self.nodes),
            "gateway": self.gateway,
            "port": self.gateway_port,
            "congestion_control": self.congestion_control,
            "timeout_s": self.timeout_s,
            **({"scale_to_zero": True} if self.scale_to_zero else {}),
            **({"module": self.module} if self.module else {}),
            **({"image": self.image} if self.image else {}),
            **({"gpus": self.gpus} if self.gpus else {}),
            **({"cpus": self.cpus} if self.cpus is not None else {}),
            **({"memory_mib": self.memory_mib} if self.memory_mib is not None else {}),
            **({"leaves": True} if self.leaves else {}),
        }
