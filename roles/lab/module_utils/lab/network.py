"""The changes of namespaces, bridges and cables after which a lab exists, or is removed."""

from __future__ import annotations

import re
from functools import partial
from ipaddress import ip_interface, ip_network
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ansible.module_utils.lab import machine
from ansible.module_utils.lab.plan import (
    DATA_INTERFACE,
    MTU,
    Cable,
    Lab,
    LabError,
    Node,
    hardware_address,
)
from ansible.module_utils.node.change import Change

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ansible.module_utils.lab.ledger import Ledger

Links = dict[str, dict[str, Any]]
NARROWEST_FOREIGN_ROUTE = 8  # a VPN's 0.0.0.0/1 is no claim to our addresses; 198.0.0.0/8 would be


def refuse_strangers(lab: Lab, ledger: Ledger | None) -> None:
    """Refuse to touch what something else created under the lab's names or addresses.

    Raises:
        LabError: which name or address it is, and what to do.
    """
    ours = ledger.namespaces if ledger else ()
    for namespace in lab.namespaces:
        if namespace in machine.named_namespaces() and namespace not in ours:
            raise LabError(
                f"There is a network namespace {namespace} that this lab ({lab.folder}) did not make: "
                f"remove it (ip netns delete {namespace}) or set lab_prefix to another word."
            )
    links = machine.interfaces(None)
    our_links = ledger.links if ledger else ()
    for name in lab.links:
        if name in links and name not in our_links:
            raise LabError(
                f"There is an interface {name} that this lab ({lab.folder}) did not make: "
                f"remove it (ip link delete {name}) or set lab_prefix to another word."
            )
    network = lab.management_network
    for name, link in links.items():
        for address in machine.addresses(link):
            if name not in our_links and ip_interface(address).network.overlaps(network):
                raise LabError(
                    f"lab_management_network {network} is in use: {name} has the address {address}. "
                    "Set lab_management_network, and ansible_host of the nodes, to unused addresses."
                )
    for route in machine.routes():
        target = ip_network("0.0.0.0/0" if route["dst"] == "default" else route["dst"])
        wide = target.prefixlen < NARROWEST_FOREIGN_ROUTE
        if route.get("dev") not in our_links and not wide and target.overlaps(network):
            raise LabError(
                f"lab_management_network {network} is in use: this machine has a route to {target} by "
                f"{route.get('dev', 'no interface')}. Set lab_management_network, and ansible_host of the nodes, to unused addresses."
            )


def network_changes(lab: Lab) -> Iterator[Change]:
    """What is missing or wrong in the lab's namespaces, bridges and cables."""
    for namespace in lab.namespaces:
        if not machine.is_whole(namespace):
            yield Change(f"make the namespace {namespace}", partial(_make_namespace, namespace))
        elif "UP" not in machine.interfaces(namespace)["lo"]["flags"]:
            yield Change(f"set up the loopback of {namespace}", partial(_set_up_loopback, namespace))
    yield from _bridge_change(None, lab.bridge, lab.bridge_address)
    yield from _bridge_change(lab.data_namespace, lab.data_namespace, None)
    for node in lab.nodes:
        if lab.taps:
            yield from _tap_changes(lab, node)
            continue
        links = _links(lab.namespace(node))
        for cable in lab.cables(node):
            if not _holds(cable, links):
                yield Change(
                    f"join {node.name} to {cable.bridge} as {cable.address} on {cable.interface}",
                    partial(_lay, cable),
                )
        if lab.default_route and not machine.has_default_route(lab.namespace(node)):
            yield Change(f"give {node.name} a default route", partial(_set_default_route, lab.namespace(node)))
    yield from _stray_changes(lab)


def removal_changes(namespaces: set[str], links: set[str]) -> Iterator[Change]:
    """What is left of these namespaces, and of these interfaces of the machine itself."""
    for link in sorted(links & machine.interfaces(None).keys()):
        yield Change(f"remove the interface {link}", partial(_remove_link, None, link))
    for namespace in sorted(namespaces & machine.named_namespaces()):
        yield Change(f"remove the namespace {namespace}", partial(_remove_namespace, namespace))


def _stray_changes(lab: Lab) -> Iterator[Change]:
    """Ports of the data bridge that lead to nodes which are no longer in the inventory."""
    ports = {lab.cables(node)[1].port for node in lab.nodes}
    for port in _links(lab.data_namespace):
        if re.fullmatch(rf"{lab.prefix}-d-\d+", port) and port not in ports:
            yield Change(f"remove the port {port}", partial(_remove_link, lab.data_namespace, port))


def _links(namespace: str) -> Links:
    return machine.interfaces(namespace) if machine.is_whole(namespace) else {}


def _bridge_change(namespace: str | None, bridge: str, address: str | None) -> Iterator[Change]:
    link = (machine.interfaces(None) if namespace is None else _links(namespace)).get(bridge)
    expected = {address} if address else set()
    if link is None or "UP" not in link["flags"] or machine.addresses(link) != expected:
        where = f" in the namespace {namespace}" if namespace else f" with the address {address}"
        yield Change(f"make the bridge {bridge}{where}", partial(_set_bridge, namespace, bridge, address))


def _tap_changes(lab: Lab, node: Node) -> Iterator[Change]:
    for cable in lab.cables(node):
        port = _ports(cable).get(cable.port)
        if port is None or port.get("master") != cable.bridge or "UP" not in port["flags"] or port["mtu"] != MTU:
            yield Change(f"make the TAP {cable.port} of {node.name} on {cable.bridge}", partial(_lay_tap, cable))


def carries(cable: Cable) -> bool:
    """Whether a program holds the other end of a TAP."""
    return "LOWER_UP" in _ports(cable).get(cable.port, {"flags": []})["flags"]


def _ports(cable: Cable) -> Links:
    return machine.interfaces(None) if cable.bridge_namespace is None else _links(cable.bridge_namespace)


def _holds(cable: Cable, links: Links) -> bool:
    """Whether a cable is whole, up and has its address.

    The address may stand on another interface of the node: a link emulator may have moved it.
    """
    port, interface = _ports(cable).get(cable.port), links.get(cable.interface)
    return (
        port is not None
        and interface is not None
        and _are_a_pair(port, interface)
        and port.get("master") == cable.bridge
        and all("UP" in end["flags"] and end["mtu"] == MTU for end in (port, interface))
        and any(cable.address in machine.addresses(link) for link in links.values())
    )


def _are_a_pair(port: dict[str, Any], interface: dict[str, Any]) -> bool:
    return bool(port.get("link_index") == interface["ifindex"] and interface.get("link_index") == port["ifindex"])


def _make_namespace(namespace: str) -> None:
    if namespace in machine.named_namespaces():
        machine.run(["ip", "netns", "delete", namespace])
    machine.run(["ip", "netns", "add", namespace])
    _set_up_loopback(namespace)


def _set_default_route(namespace: str) -> None:
    machine.run_ip(namespace, [f"route replace default dev {DATA_INTERFACE}"])


def _set_up_loopback(namespace: str) -> None:
    machine.run_ip(namespace, ["link set lo up"])


def _set_bridge(namespace: str | None, bridge: str, address: str | None) -> None:
    lines = [f"address flush dev {bridge}"]
    if address:
        lines += [f"address add {address} dev {bridge}", f"link set {bridge} address {hardware_address(address)}"]
    if bridge not in machine.interfaces(namespace):
        lines = [f"link add {bridge} mtu {MTU} type bridge", *_without_ipv6(bridge), *lines]
    machine.run_ip(namespace, [*lines, f"link set {bridge} up"])


def _lay(cable: Cable) -> None:
    """Connect a node to its bridge, or repair its existing connection."""
    port = machine.interfaces(cable.bridge_namespace).get(cable.port)
    interface = machine.interfaces(cable.namespace).get(cable.interface)
    if port is None or interface is None or not _are_a_pair(port, interface):
        _remove_link(cable.bridge_namespace, cable.port)
        _remove_link(cable.namespace, cable.interface)
        machine.run_ip(
            cable.bridge_namespace,
            [
                f"link add {cable.port} mtu {MTU} type veth peer name {cable.interface} netns {cable.namespace}",
                *_without_ipv6(cable.port),
            ],
        )
        hardware = hardware_address(cable.address)
        machine.run_ip(
            cable.namespace,
            [f"link set {cable.interface} address {hardware}", *_without_ipv6(cable.interface)],
        )
    machine.run_ip(cable.bridge_namespace, [f"link set {cable.port} mtu {MTU} master {cable.bridge} up"])
    machine.run_ip(
        cable.namespace,
        [
            f"address flush dev {cable.interface}",
            f"address add {cable.address} dev {cable.interface}",
            f"link set {cable.interface} mtu {MTU} up",
        ],
    )


def _lay_tap(cable: Cable) -> None:
    made = cable.port in machine.interfaces(cable.bridge_namespace)
    machine.run_ip(
        cable.bridge_namespace,
        [
            *([] if made else [f"tuntap add dev {cable.port} mode tap", *_without_ipv6(cable.port)]),
            f"link set {cable.port} mtu {MTU} master {cable.bridge} up",
        ],
    )


def _remove_link(namespace: str | None, link: str) -> None:
    if link not in machine.interfaces(namespace):
        return
    try:
        machine.run_ip(namespace, [f"link delete {link}"])
    except LabError:
        # A link also goes with the namespace of its other end, a moment after that has ended.
        if link in machine.interfaces(namespace):
            raise


def _remove_namespace(namespace: str) -> None:
    """Remove the cables first: the kernel destroys a namespace later, by itself."""
    if machine.is_whole(namespace):
        for link in machine.interfaces(namespace).values():
            if "link_netnsid" in link:
                _remove_link(namespace, link["ifname"])
    machine.run(["ip", "netns", "delete", namespace])


def _without_ipv6(link: str) -> list[str]:
    """No IPv6 address of its own, on kernels that know IPv6: the lab's networks carry nothing but the lab."""
    return [f"link set {link} addrgenmode none"] if Path("/proc/sys/net/ipv6").exists() else []
