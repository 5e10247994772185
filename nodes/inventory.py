"""The nodes of an inventory, by group, as Ansible itself reads them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nodes.defaults import role_default
from nodes.errors import InventoryError

if TYPE_CHECKING:
    from collections.abc import Mapping

INVENTORIES = Path(__file__).resolve().parent.parent / "inventories"


@dataclass(frozen=True, slots=True)
class Inventory:
    """Groups of hosts in the inventory's order, and each host's variables."""

    name: str
    groups: Mapping[str, tuple[str, ...]]
    variables: Mapping[str, dict[str, Any]]

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

    def settings(self, name: str, *, role: str, group: str) -> dict[str, Any]:
        """Return a role's variable for each host of a group: the inventory's value, else the role's default."""
        default = role_default(role, name)
        return {host: self.variables.get(host, {}).get(name, default) for host in self.hosts(group)}

    def setting(self, name: str, *, role: str, group: str) -> Any:
        """Return a role's variable that is the same for a whole group: its first host's, else the role's default."""
        return next(iter(self.settings(name, role=role, group=group).values()), role_default(role, name))


def name_of(name_or_path: str) -> str:
    """Return what a run remembers of an inventory: its name, or its absolute path when a path is given."""
    return str(Path(name_or_path).resolve()) if "/" in name_or_path else name_or_path


def slug(name: str) -> str:
    """Return an inventory's name as part of a file's name."""
    return name.strip("/.").replace("/", "-")


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
    """Return the inventory that ``ansible-inventory --list`` printed."""
    variables = listing.get("_meta", {}).get("hostvars", {})

    def hosts(group: str, seen: frozenset[str]) -> list[str]:
        entry = listing.get(group, {})
        members = list(entry.get("hosts", []))
        for child in entry.get("children", []):
            if child not in seen:
                members += [host for host in hosts(child, seen | {child}) if host not in members]
        return members

    groups = {group: tuple(hosts(group, frozenset({group}))) for group in listing if group != "_meta"}
    return Inventory(name, groups, variables)
