"""The nodes of an inventory, by group, as Ansible itself reads them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nodes.errors import InventoryError

INVENTORIES = Path(__file__).resolve().parent.parent / "inventories"


@dataclass(frozen=True, slots=True)
class Inventory:
    """Groups of hosts in the inventory's order, and each host's variables."""

    name: str
    groups: dict[str, tuple[str, ...]]
    variables: dict[str, dict[str, Any]]

    def hosts(self, group: str) -> tuple[str, ...]:
        """Return the hosts of a group; none when the inventory has no such group."""
        return self.groups.get(group, ())

    def variable(self, host: str, name: str) -> Any:
        """Return a host's variable.

        Raises:
            InventoryError: the host has no such variable.
        """
        try:
            return self.variables[host][name]
        except KeyError:
            raise InventoryError(
                f"inventory {self.name}: host {host} has no variable {name}; set it in its hosts.yml or group_vars"
            ) from None


def name_of(given: str) -> str:
    """Return what a run remembers of an inventory: its name, or its whole path when a path is given."""
    return str(Path(given).resolve()) if "/" in given else given


def path_of(name: str) -> Path:
    """Return the folder of a named inventory, or the path itself when one is given.

    Raises:
        InventoryError: there is no such inventory.
    """
    path = INVENTORIES / name_of(name)  # a path given as a whole stays itself
    if not path.exists():
        known = ", ".join(sorted(entry.name for entry in INVENTORIES.iterdir() if entry.is_dir()))
        raise InventoryError(f"inventory {name!r}: there is no {path}. Known inventories: {known}; or give a path.")
    return path


def parse(name: str, listing: dict[str, Any]) -> Inventory:
    """Return the inventory of what ``ansible-inventory --list`` says."""
    variables = listing.get("_meta", {}).get("hostvars", {})

    def hosts(group: str, seen: frozenset[str]) -> list[str]:
        entry = listing.get(group, {})
        found = list(entry.get("hosts", []))
        for child in entry.get("children", []):
            if child not in seen:
                found += [host for host in hosts(child, seen | {child}) if host not in found]
        return found

    groups = {group: tuple(hosts(group, frozenset({group}))) for group in listing if group != "_meta"}
    return Inventory(name, groups, variables)
