"""Where a scenario's parts stand on an inventory's nodes: its links, its replicas, its gateway."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from itertools import permutations
from typing import TYPE_CHECKING, Any

from experiments import platforms
from experiments.base_station.plan import UNTIMED_S
from experiments.errors import SpecError
from experiments.service import Service

if TYPE_CHECKING:
    from experiments.platforms.platform import Platform
    from experiments.spec import Experiment, LinkSpec, Scenario
    from nodes.inventory import Inventory


@dataclass(frozen=True, slots=True)
class Placement:
    """An experiment on an inventory's nodes; ``links`` are entries of roles/netem's ``netem_links``."""

    platform: Platform
    base_stations: tuple[str, ...]
    services: dict[str, Service]
    links: tuple[dict[str, Any], ...]

    def variables(self) -> dict[str, Any]:
        """Return the variables of the roles: the links, the services, and what the platform's own roles need."""
        services = list(self.services.values())
        return {
            "netem_links": list(self.links),
            "function_services": [service.variables() for service in services],
            **self.platform.variables(services),
        }


def place(experiment: Experiment, inventory: Inventory) -> Placement:
    """Put every scenario of an experiment on the inventory's nodes.

    Raises:
        SpecError: nodes are missing, the platform lacks what a scenario asks for, or two scenarios shape a link
            differently.
    """
    base_stations = inventory.hosts("base_stations")
    if not base_stations:
        raise SpecError(f"inventory {inventory.name}: group base_stations is empty; it needs the node that sends")
    platform = platforms.of(inventory)
    for scenario in experiment.scenarios:
        _check_idle(scenario, platform, inventory)
        _check_gpus(scenario, platform, inventory)
    services: dict[str, Service] = {}
    links: dict[tuple[str, str], dict[str, Any]] = {}
    for index, scenario in enumerate(experiment.scenarios):
        service = _service(scenario, inventory, platform, index)
        services[scenario.name] = service
        _check_nodes(scenario, (*base_stations, *service.nodes), inventory)
        for pair, entry in _links(scenario, (*base_stations, *service.nodes), inventory).items():
            if links.setdefault(pair, entry) != entry:
                raise SpecError(
                    f"inventory {inventory.name}: scenarios shape the link {pair[0]} -> {pair[1]} differently and "
                    "cannot be measured in one run here; add nodes to the groups they name, or run them one by one"
                )
    controls = sorted({service.congestion_control for service in services.values()})
    if len(controls) > 1 and not platform.congestion_control_by_service:
        raise SpecError(
            f"inventory {inventory.name}: {platform.name} uses one TCP congestion control for all services, but the "
            f"scenarios have {' and '.join(controls)}; give them the same congestion_control, or run them one by one"
        )
    return Placement(platform, base_stations, services, tuple(links.values()))


def _check_nodes(scenario: Scenario, members: tuple[str, ...], inventory: Inventory) -> None:
    """Refuse nodes that are not apart: what is between them could not be a link."""
    twice = next((host for host in members if members.count(host) > 1), None)
    if twice is not None and scenario.links:
        raise SpecError(
            f"inventory {inventory.name}: {twice} is a base station and a compute node of scenario {scenario.name}, "
            "and no link leads from a node to itself: take it out of one of the groups, or measure without links"
        )
    hosts: dict[str, str] = {}
    for host in members:
        other = hosts.setdefault(inventory.address(host), host)
        if other != host:
            raise SpecError(
                f"inventory {inventory.name}: {other} and {host} have the same data_address, "
                f"{inventory.address(host)}: give each node its own"
            )


def _check_idle(scenario: Scenario, platform: Platform, inventory: Inventory) -> None:
    if not scenario.function.scale_to_zero:
        return
    if platform.ends_replicas_after_s is None:
        able = [other.name for other in platforms.PLATFORMS if other.ends_replicas_after_s is not None]
        raise SpecError(
            f"scenario {scenario.name} scales to zero, which the platform {platform.name} of inventory "
            f"{inventory.name} cannot do: use an inventory with function_platform {' or '.join(able)}"
        )
    if scenario.requests.idle_s < platform.ends_replicas_after_s:
        raise SpecError(
            f"scenario {scenario.name}: requests.idle_s {scenario.requests.idle_s:g} with function.scale_to_zero: on "
            f"{platform.name} replicas may end as late as {platform.ends_replicas_after_s:g} s after the last request; "
            f"use at least {platform.ends_replicas_after_s:g}"
        )


def _check_gpus(scenario: Scenario, platform: Platform, inventory: Inventory) -> None:
    if scenario.function.gpus and not platform.has_gpus:
        able = [other.name for other in platforms.PLATFORMS if other.has_gpus]
        raise SpecError(
            f"scenario {scenario.name} has function.gpus {scenario.function.gpus}, which the platform {platform.name} "
            f"of inventory {inventory.name} cannot give its replicas: use an inventory with function_platform "
            f"{' or '.join(able)}"
        )


def _service(scenario: Scenario, inventory: Inventory, platform: Platform, index: int) -> Service:
    replicas = scenario.function.replicas
    groups = [inventory.hosts(group) for group in scenario.function.nodes if len(inventory.hosts(group)) >= replicas]
    if not groups:
        raise SpecError(
            f"scenario {scenario.name} needs {replicas} node{'s' * (replicas > 1)} in one of the groups "
            f"{', '.join(scenario.function.nodes)}; inventory {inventory.name} has too few: add them to its hosts.yml"
        )
    nodes = groups[0][:replicas]
    return Service(
        name=scenario.name,
        nodes=nodes,
        gateway=nodes[0],
        gateway_address=inventory.address(nodes[0]),
        gateway_port=platform.port(index),
        host=platform.host(scenario.name),
        congestion_control=scenario.transport.congestion_control,
        timeout_s=scenario.requests.timeout_s or UNTIMED_S,
        scale_to_zero=scenario.function.scale_to_zero,
        module=scenario.function.module,
        gpus=scenario.function.gpus,
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
            values = spec.values()
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
