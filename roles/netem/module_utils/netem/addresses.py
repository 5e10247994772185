"""Which addresses hosts have on the data network, and by which of them a link is probed."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Any

from ansible.module_utils.node.errors import NodeError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def listed(addresses: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return each host's addresses as a list, whether they came as one or as a single address.

    Raises:
        NodeError: a host's are neither.
    """
    lists = {}
    for host, value in addresses.items():
        host_addresses = [value] if isinstance(value, str) else value
        if not isinstance(host_addresses, list) or not all(isinstance(one, str) for one in host_addresses):
            raise NodeError(f"netem_addresses of {host} is {value!r}: expected an address or a list of them.")
        lists[host] = host_addresses
    return lists


def networks(host: str, addresses: Sequence[str]) -> dict[int, list[Network]]:
    """Return a host's addresses and ranges by family (4, 6).

    Raises:
        NodeError: one is neither an address nor a range.
    """
    by_family: dict[int, list[Network]] = {}
    for address in addresses:
        try:
            network = ipaddress.ip_network(address)
        except ValueError as error:
            raise NodeError(f"{error}. Correct data_address or netem_addresses of {host}.") from error
        by_family.setdefault(network.version, []).append(network)
    return by_family


def with_routed(
    addresses: Mapping[str, Sequence[str]], targets: Iterable[str], routes: Iterable[tuple[str, str]]
) -> dict[str, list[str]]:
    """Return the addresses with what this node reaches by way of each target: the target's pods, where nothing wraps them.

    A range in which another host has an address is left out: that host's frames may go this way, but they are not the
    target's.

    Args:
        addresses: each host's, as `listed` returns them.
        targets: of the links that leave this node.
        routes: range and next hop.

    Raises:
        NodeError: a host's address cannot be one.
    """
    taken = [
        network
        for host, host_addresses in addresses.items()
        for several in networks(host, host_addresses).values()
        for network in several
    ]
    extended = {host: list(host_addresses) for host, host_addresses in addresses.items()}
    for target in targets:
        hops = own(target, addresses.get(target, ())).values()
        ways = [ipaddress.ip_network(range_) for range_, hop in routes if hop in hops]
        extended[target] += [
            str(way) for way in ways if not any(one.version == way.version and one.overlaps(way) for one in taken)
        ]
    return extended


def own(host: str, addresses: Sequence[str]) -> dict[int, str]:
    """Return a host's own address of each family: the first that is no range; those behind it may be its pods'."""
    single_addresses = {}
    for family, several in networks(host, addresses).items():
        singles = [str(one.network_address) for one in several if one.prefixlen == one.max_prefixlen]
        if singles:
            single_addresses[family] = singles[0]
    return single_addresses


def ends(source: str, target: str, addresses: Mapping[str, Sequence[str]]) -> dict[int, tuple[str, str]]:
    """Return the two addresses between which a link is probed, for each family that both of its nodes have.

    Raises:
        NodeError: they have none in common.
    """
    here, there = (own(host, addresses.get(host, ())) for host in (source, target))
    pairs = {family: (here[family], there[family]) for family in sorted(here.keys() & there.keys())}
    if not pairs:
        existing = " and ".join(
            f"{host} has {' and '.join(sorted(had.values())) or 'none'}"
            for host, had in ((source, here), (target, there))
        )
        raise NodeError(
            f"{source} -> {target}: no two addresses of one family, by which the link could be probed: {existing}. "
            "Correct data_address or netem_addresses."
        )
    return pairs
