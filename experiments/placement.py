"""Where a scenario's parts stand on an inventory's nodes: its links, its replicas, its gateway."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any

from experiments import platforms
from experiments.base_station.plan import UNTIMED_S
from experiments.changes import Changing
from experiments.errors import SpecError
from experiments.service import Service

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from experiments.base_station.plan import Event
    from experiments.platforms.platform import Platform
    from experiments.spec import Experiment, Scenario
    from nodes.inventory import Inventory


@dataclass(frozen=True, slots=True)
class Placement:
    """An experiment on an inventory's nodes; ``links`` are entries of roles/netem's ``netem_links``.

    ``base_stations`` are their addresses by name, and ``services`` and ``routes`` are by scenario: at each site one
    service, which scenarios that would have the same one share, and for each base station the sites that it sends to,
    with their weights. ``events`` are by scenario, too, and ``changing`` the addresses of the nodes that carry
    them out. ``starts_told_by`` is the node that keeps when replicas of services that scale to zero start; empty where
    there are none, or the cluster is somebody else's.
    """

    platform: Platform
    base_stations: dict[str, str]
    services: dict[str, tuple[Service, ...]]
    routes: dict[str, dict[str, dict[str, float]]]
    links: tuple[dict[str, Any], ...]
    events: dict[str, tuple[Event, ...]]
    changing: dict[str, str]
    starts_told_by: str = ""

    def variables(self) -> dict[str, Any]:
        """Return the variables of the roles: the links, the services, and what the platform's own roles need."""
        services = list({one.name: one for of_scenario in self.services.values() for one in of_scenario}.values())
        return {
            "netem_links": list(self.links),
            **({"netem_changes_from": next(iter(self.base_stations.values()))} if self.changing else {}),
            "function_services": [service.variables() for service in services],
            **({"monitor_pods_on": self.starts_told_by} if self.starts_told_by else {}),
            **self.platform.variables(services),
        }


def place(experiment: Experiment, inventory: Inventory) -> Placement:
    """Put every scenario of an experiment on the inventory's nodes.

    Raises:
        SpecError: nodes are missing, the platform lacks what a scenario asks for, or two scenarios shape a link
            differently and there are no other nodes for one of them.
    """
    base_stations = inventory.hosts("base_stations")
    if not base_stations:
        raise SpecError(f"inventory {inventory.name}: group base_stations is empty; it needs the node that sends")
    platform = platforms.of(inventory)
    for scenario in experiment.scenarios:
        _check_idle(scenario, platform, inventory)
        _check_image(scenario, platform, inventory)
        _check_gpus(scenario, platform, inventory)
        _check_cpus(scenario, platform, inventory)
    services: dict[str, tuple[Service, ...]] = {}
    routes: dict[str, dict[str, dict[str, float]]] = {}
    links: dict[tuple[str, str], dict[str, Any]] = {}
    events: dict[str, tuple[Event, ...]] = {}
    for scenario in experiment.scenarios:
        _check_weights(scenario, base_stations, inventory)
        nodes, own = _stand(scenario, inventory, links)
        _check_groups(scenario, tuple(chain.from_iterable(nodes.values())), inventory)
        links |= own
        placed: list[Service] = []
        for site, hosts in nodes.items():
            others = [*chain.from_iterable(services.values()), *placed]
            placed.append(_service(scenario, site, hosts, inventory, platform, others))
        services[scenario.name] = tuple(placed)
        routes[scenario.name] = {name: _route(scenario, name, services[scenario.name], own) for name in base_stations}
        members = (*base_stations, *chain.from_iterable(nodes.values()))
        changing = Changing(scenario, own, members, services[scenario.name], platform, inventory)
        events[scenario.name] = changing.planned()
    every = list(chain.from_iterable(services.values()))
    names: dict[str, Service] = {}
    for service in every:
        if names.setdefault(service.name, service) != service:
            raise SpecError(
                f"two services would have the name {service.name}, which is a scenario's with a site's after it: give "
                "one of the scenarios another name"
            )
    controls = sorted({service.congestion_control for service in every})
    if len(controls) > 1 and not platform.congestion_control_by_service:
        raise SpecError(
            f"inventory {inventory.name}: {platform.name} uses one TCP congestion control for all services, but the "
            f"scenarios have {' and '.join(controls)}; give them the same congestion_control, or run them one by one"
        )
    addresses = {name: inventory.address(name) for name in base_stations}
    asked = sorted({name for of_scenario in events.values() for event in of_scenario for name in event.asked})
    of_asked = {name: inventory.address(name) for name in asked}
    from_zero = next((service for service in every if service.scale_to_zero), None)
    told_by = platform.own_server(from_zero.nodes[0], inventory) if from_zero else None
    return Placement(platform, addresses, services, routes, tuple(links.values()), events, of_asked, told_by or "")


def _check_weights(scenario: Scenario, base_stations: tuple[str, ...], inventory: Inventory) -> None:
    weights = scenario.base_stations.weights
    if weights is not None and len(weights) != len(base_stations):
        raise SpecError(
            f"scenario {scenario.name}: base_stations.weights has {len(weights)}, the base stations of inventory "
            f"{inventory.name} are {', '.join(base_stations)}: name one weight for each"
        )


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


def _check_cpus(scenario: Scenario, platform: Platform, inventory: Inventory) -> None:
    for group, resources in scenario.resources.items():
        if platform.most_cpus is not None and (resources.cpus or 0) > platform.most_cpus:
            raise SpecError(
                f"scenario {scenario.name}: resources.{group}.cpus {resources.cpus:g}: the platform {platform.name} of "
                f"inventory {inventory.name} gives a replica {platform.most_cpus:g} at most"
            )


def _check_groups(scenario: Scenario, nodes: tuple[str, ...], inventory: Inventory) -> None:
    for group in scenario.resources:
        if not set(nodes) & set(inventory.hosts(group)):
            raise SpecError(
                f"scenario {scenario.name}: resources.{group}: no replica runs on a node of a group {group} of "
                f"inventory {inventory.name}; they run on {', '.join(nodes)}"
            )


def _resources(
    scenario: Scenario, site: str, nodes: tuple[str, ...], inventory: Inventory
) -> tuple[float | None, int | None]:
    """Return CPUs and memory in MiB that each replica of a service has at most.

    Raises:
        SpecError: its nodes differ, or one is in two of the groups.
    """
    of_nodes = {node: [group for group in scenario.resources if node in inventory.hosts(group)] for node in nodes}
    twice = next((node for node, groups in of_nodes.items() if len(groups) > 1), None)
    if twice is not None:
        raise SpecError(
            f"scenario {scenario.name}: resources: {twice} is in the groups {' and '.join(of_nodes[twice])}; name one "
            "of them"
        )
    given = {scenario.resources[groups[0]] if groups else None for groups in of_nodes.values()}
    if len(given) > 1:
        raise SpecError(
            f"scenario {scenario.name}: resources: the replicas on {', '.join(nodes)} of {site} would differ; name "
            "function.sites, one for each kind of node"
        )
    (resources,) = given
    return (None, None) if resources is None else (resources.cpus, resources.memory_mib)


def _check_image(scenario: Scenario, platform: Platform, inventory: Inventory) -> None:
    if scenario.function.image is not None and not platform.runs_images:
        able = [other.name for other in platforms.PLATFORMS if other.runs_images]
        raise SpecError(
            f"scenario {scenario.name}: function.image: the platform {platform.name} of inventory {inventory.name} "
            f"serves Python modules, no container images: use an inventory with function_platform {' or '.join(able)}, "
            "or name a function.module"
        )


def _sites(scenario: Scenario, inventory: Inventory) -> Iterator[dict[str, tuple[str, ...]]]:
    """Yield the nodes on which a scenario's replicas can stand, by the group that they are in, the first choice first.

    Raises:
        SpecError: a group has too few.
    """
    if scenario.function.sites is not None:
        yield _named_sites(scenario, scenario.function.sites, inventory)
        return
    replicas, groups = scenario.function.replicas or 1, scenario.function.nodes or ()
    site = next((group for group in groups if len(inventory.hosts(group)) >= replicas), None)
    if site is None:
        raise SpecError(
            f"scenario {scenario.name} needs {replicas} node{'s' * (replicas > 1)} in one of the groups "
            f"{', '.join(groups)}; inventory {inventory.name} has too few: add them to its hosts.yml"
        )
    hosts = inventory.hosts(site)
    for first in range(len(hosts) - replicas + 1):
        yield {site: hosts[first : first + replicas]}


def _named_sites(scenario: Scenario, sites: Mapping[str, int], inventory: Inventory) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for site, replicas in sites.items():
        hosts = inventory.hosts(site)
        if len(hosts) < replicas:
            raise SpecError(
                f"scenario {scenario.name}: site {site} needs {replicas} node{'s' * (replicas > 1)}, inventory "
                f"{inventory.name} has {len(hosts)} in a group of this name: add some to its hosts.yml"
            )
        before = {node: other for other, nodes in found.items() for node in nodes}
        shared = next((node for node in hosts[:replicas] if node in before), None)
        if shared is not None:
            raise SpecError(
                f"scenario {scenario.name}: {shared} is in the sites {before[shared]} and {site}: take it out of one "
                f"of these groups of inventory {inventory.name}"
            )
        found[site] = hosts[:replicas]
    return found


def _stand(
    scenario: Scenario, inventory: Inventory, taken: Mapping[tuple[str, str], dict[str, Any]]
) -> tuple[dict[str, tuple[str, ...]], dict[tuple[str, str], dict[str, Any]]]:
    """Return the nodes of a scenario's replicas, by site, and its links: the first that fit the others' links.

    Raises:
        SpecError: there are too few nodes, or other scenarios shape the links of all of them differently.
    """
    off: tuple[str, str] | None = None
    for sites in _sites(scenario, inventory):
        members = (*inventory.hosts("base_stations"), *chain.from_iterable(sites.values()))
        _check_nodes(scenario, members, inventory)
        links = _links(scenario, members, inventory)
        off_here = next((pair for pair, entry in links.items() if taken.get(pair, entry) != entry), None)
        if off_here is None:
            return sites, links
        off = off or off_here
    source, target = off or ("", "")
    if scenario.function.sites is not None:
        raise SpecError(
            f"inventory {inventory.name}: scenarios shape the link {source} -> {target} differently and cannot be "
            f"measured in one run, as the sites of scenario {scenario.name} are the same nodes; run them one by one"
        )
    replicas = scenario.function.replicas or 1
    verb = "is no other node" if replicas == 1 else f"are fewer than {replicas} other nodes"
    raise SpecError(
        f"inventory {inventory.name}: scenarios shape the link {source} -> {target} differently and cannot be measured "
        f"in one run here, as there {verb} for scenario {scenario.name}; add nodes to the groups they name, or run "
        "them one by one"
    )


def _service(
    scenario: Scenario,
    site: str,
    nodes: tuple[str, ...],
    inventory: Inventory,
    platform: Platform,
    others: Collection[Service],
) -> Service:
    """Return a scenario's service at a site: that of another one where it would be the same, as replicas keep nothing.

    Its name is a part of host names, which have no underscores.
    """
    cpus, memory_mib = _resources(scenario, site, nodes, inventory)
    name = scenario.name if scenario.function.sites is None else f"{scenario.name}-{site.replace('_', '-').lower()}"
    service = Service(
        name=name,
        site=site,
        nodes=nodes,
        gateway=nodes[0],
        gateway_address=inventory.address(nodes[0]),
        gateway_port=platform.port(len({other.name for other in others})),
        host=platform.host(name),
        congestion_control=scenario.transport.congestion_control,
        timeout_s=scenario.requests.timeout_s or UNTIMED_S,
        scale_to_zero=scenario.function.scale_to_zero,
        module=scenario.function.module,
        image=scenario.function.image,
        gpus=scenario.function.gpus,
        cpus=cpus,
        memory_mib=memory_mib,
        leaves=any(spec.away for event in scenario.events for spec in event.nodes),
    )
    return next((other for other in others if other.serves_as(service)), service)


def _route(
    scenario: Scenario, base_station: str, services: tuple[Service, ...], links: dict[tuple[str, str], dict[str, Any]]
) -> dict[str, float]:
    """Return the sites that a base station sends to, with their weights."""
    send_to = scenario.base_stations.send_to
    if isinstance(send_to, dict):
        return dict(send_to)
    if send_to == "all":
        return {service.site: 1.0 for service in services}

    def delay_ms(service: Service) -> float:
        there_and_back = ((base_station, service.gateway), (service.gateway, base_station))
        return sum(float(links.get(pair, {}).get("delay_ms", 0)) for pair in there_and_back)

    nearest_ms = min(map(delay_ms, services))
    near = [service.site for service in services if delay_ms(service) == nearest_ms]
    if len(near) > 1:
        raise SpecError(
            f"scenario {scenario.name}: {' and '.join(near)} are equally near to {base_station}, {nearest_ms:g} ms "
            "there and back: give their links different delays, or send to them by weights"
        )
    return {near[0]: 1.0}


def _links(scenario: Scenario, members: tuple[str, ...], inventory: Inventory) -> dict[tuple[str, str], dict[str, Any]]:
    links: dict[tuple[str, str], dict[str, Any]] = {}
    for spec in scenario.links:
        for group in () if spec.between == "all" else spec.between:
            if not set(members) & set(inventory.hosts(group)):
                raise SpecError(
                    f"scenario {scenario.name}: links between {' and '.join(spec.between)}: none of the scenario's "
                    f"nodes is in a group {group} of inventory {inventory.name}; these are {', '.join(members)}"
                )
        for pair in spec.of(members, inventory.hosts):
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
