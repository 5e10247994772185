"""Where a scenario's parts stand on an inventory's nodes: its links, its replicas, its gateway."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from itertools import permutations
from typing import TYPE_CHECKING, Any

from experiments.errors import SpecError

if TYPE_CHECKING:
    from experiments.spec import Experiment, LinkSpec, Scenario
    from nodes.inventory import Inventory

# Where services listen, on the data network only. The process platform has a port for each service, from this one on;
# Knative's gateway has this one, and tells the services by the Host header.
GATEWAY_PORT = 31080


@dataclass(frozen=True, slots=True)
class Service:
    """A scenario's function as deployed: one replica on each of ``nodes``, reached through ``gateway``."""

    name: str
    nodes: tuple[str, ...]
    gateway: str
    gateway_address: str
    gateway_port: int
    congestion_control: str
    timeout_s: float
    scale_to_zero: bool = False

    @property
    def url(self) -> str:
        """Where the base station sends its requests."""
        return f"http://{self.gateway_address}:{self.gateway_port}/"

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
        }


@dataclass(frozen=True, slots=True)
class Placement:
    """An experiment on an inventory's nodes; ``links`` are entries of roles/netem's ``netem_links``."""

    base_stations: tuple[str, ...]
    services: dict[str, Service]
    links: tuple[dict[str, Any], ...]


def platform(inventory: Inventory) -> str:
    """Return what runs the function on an inventory's nodes: ``process`` or ``knative``."""
    hosts = inventory.hosts("compute")
    found = inventory.variables.get(hosts[0], {}).get("function_platform", "process") if hosts else "process"
    return str(found)


def place(experiment: Experiment, inventory: Inventory) -> Placement:
    """Put every scenario of an experiment on the inventory's nodes.

    Raises:
        SpecError: the inventory lacks nodes, or two scenarios shape the same link differently.
    """
    base_stations = inventory.hosts("base_stations")
    if not base_stations:
        raise SpecError(f"inventory {inventory.name}: group base_stations is empty; it needs the node that sends")
    on_cluster = platform(inventory) == "knative"
    services: dict[str, Service] = {}
    links: dict[tuple[str, str], dict[str, Any]] = {}
    for index, scenario in enumerate(experiment.scenarios):
        if scenario.function.scale_to_zero and not on_cluster:
            raise SpecError(
                f"scenario {scenario.name} scales to zero, which only a cluster does: use an inventory with "
                f"function_platform knative (containers, for one); {inventory.name} has process"
            )
        service = _service(scenario, inventory, GATEWAY_PORT + (0 if on_cluster else index))
        services[scenario.name] = service
        for pair, entry in _links(scenario, (*base_stations, *service.nodes), inventory).items():
            if links.setdefault(pair, entry) != entry:
                raise SpecError(
                    f"inventory {inventory.name}: scenarios shape the link {pair[0]} -> {pair[1]} differently and "
                    "cannot be measured in one run here; add nodes to the groups they name, or run them one by one"
                )
    controls = sorted({service.congestion_control for service in services.values()})
    if on_cluster and len(controls) > 1:
        raise SpecError(
            f"inventory {inventory.name}: its cluster has one way of TCP for all services, the scenarios have "
            f"{' and '.join(controls)}; give them the same congestion_control, or run them one by one"
        )
    return Placement(base_stations, services, tuple(links.values()))


def _service(scenario: Scenario, inventory: Inventory, port: int) -> Service:
    wanted = scenario.function.replicas
    filled = [inventory.hosts(group) for group in scenario.function.nodes if len(inventory.hosts(group)) >= wanted]
    if not filled:
        raise SpecError(
            f"scenario {scenario.name} needs {wanted} node{'s' * (wanted > 1)} in one of the groups "
            f"{', '.join(scenario.function.nodes)}; inventory {inventory.name} has too few: add them to its hosts.yml"
        )
    nodes = filled[0][:wanted]
    return Service(
        name=scenario.name,
        nodes=nodes,
        gateway=nodes[0],
        gateway_address=str(inventory.variable(nodes[0], "data_address")),
        gateway_port=port,
        congestion_control=scenario.transport.congestion_control,
        timeout_s=scenario.requests.timeout_s,
        scale_to_zero=scenario.function.scale_to_zero,
    )


def _links(scenario: Scenario, members: tuple[str, ...], inventory: Inventory) -> dict[tuple[str, str], dict[str, Any]]:
    links: dict[tuple[str, str], dict[str, Any]] = {}
    for spec in scenario.links:
        for group in () if spec.between == "all" else spec.between:
            if not set(members) & set(inventory.hosts(group)):
                raise SpecError(
                    f"scenario {scenario.name}: links between {' and '.join(spec.between)}: none of the scenario's "
                    f"nodes is in a group {group} of inventory {inventory.name}; these are {', '.join(members)}"
                )
        for pair in _pairs(spec, members, inventory):
            if pair in links:
                raise SpecError(
                    f"scenario {scenario.name}: the link {pair[0]} -> {pair[1]} is named by two entries of links; "
                    "each ordered pair of nodes can be named once"
                )
            values = spec.model_dump(exclude={"between"}, exclude_none=True)
            if spec.seed is not None:  # a link's own, or all of them would draw the same
                values["seed"] = zlib.crc32(f"{spec.seed} {pair[0]} -> {pair[1]}".encode())
            links[pair] = {"source": pair[0], "target": pair[1], **values}
    return links


def _pairs(spec: LinkSpec, members: tuple[str, ...], inventory: Inventory) -> list[tuple[str, str]]:
    if spec.between == "all":
        return list(permutations(members, 2))
    first, second = ([host for host in members if host in inventory.hosts(group)] for group in spec.between)
    both = [(one, other) for one in first for other in second if one != other]
    return list(dict.fromkeys([*both, *((other, one) for one, other in both)]))
