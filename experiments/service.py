"""A scenario's function as deployed on an inventory's nodes, and how the base station reaches it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Service:
    """A scenario's function as deployed: one replica on each of ``nodes``, reached through ``gateway``.

    ``host`` is the Host header of its requests.
    """

    name: str
    nodes: tuple[str, ...]
    gateway: str
    gateway_address: str
    gateway_port: int
    host: str
    congestion_control: str
    timeout_s: float
    scale_to_zero: bool = False
    module: str | None = None
    gpus: int = 0

    @property
    def url(self) -> str:
        """Where the base station sends its requests."""
        address = f"[{self.gateway_address}]" if ":" in self.gateway_address else self.gateway_address
        return f"http://{address}:{self.gateway_port}/"

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
            **({"gpus": self.gpus} if self.gpus else {}),
        }
