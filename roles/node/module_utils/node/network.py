"""The node's interfaces, addresses and routes, by `ip`, and what of them is not as the inventory says."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from ansible.module_utils.node.process import attempt, run

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


def interfaces() -> dict[str, dict[str, Any]]:
    """Return what `ip` tells of each interface, by its name."""
    return {one["ifname"]: one for one in json.loads(run("ip", "-json", "address", "show") or "[]") if "ifname" in one}


def addresses(interface: Mapping[str, Any]) -> list[str]:
    """Return the addresses of an interface."""
    return [one["local"] for one in interface.get("addr_info", ()) if "local" in one]


def obstacles(name: str, address: str, targets: Mapping[str, str]) -> Iterator[str]:
    """Yield what keeps the data network from being what the inventory says.

    Args:
        name: the data interface.
        address: the node's own on the data network; empty where the inventory has none, which is an obstacle of its own.
        targets: the addresses of the other nodes on it, by host.
    """
    known = interfaces()
    if name not in known:
        yield (
            f"there is no interface {name!r}, which is its data_interface; it has {', '.join(known)} "
            "(`ip -brief address` on the node)"
        )
        return
    owner = next((one for one, about in known.items() if address in addresses(about)), None)
    if address and owner is None:
        yield f"its data_address {address} is on none of its interfaces: correct it in the inventory, or give it to {name}"
    if "UP" not in known[name]["flags"]:
        yield f"its data interface {name} is down: set it up (ip link set {name} up)"
        return
    if known[name].get("operstate") == "DOWN":
        yield f"its data interface {name} has no carrier: see its cable or its switch"
    if address and owner not in (None, name):
        yield f"its data_address {address} is on {owner}, but data_interface is {name}: correct one of them in the inventory"
    ways: dict[str, list[str]] = {}
    for host, target in targets.items():
        if (way := way_to(target)) != name:
            ways.setdefault(way or "", []).append(f"{host} ({target})")
    for way, hosts in ways.items():
        if way:
            yield (
                f"it reaches {', '.join(hosts)} by {way}, but data_interface is {name}, where links are shaped: correct "
                "data_interface or the routes"
            )
        else:
            yield f"it has no route to {', '.join(hosts)}: correct data_address in the inventory, or the routes"


def way_to(address: str) -> str | None:
    """Return the interface by which packets to an address leave, or None where there is no route."""
    done = attempt("ip", "-json", "route", "get", address)
    if done.returncode:
        return None
    return str(json.loads(done.stdout)[0].get("dev", "")) or None
