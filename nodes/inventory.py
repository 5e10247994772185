"""The nodes of an inventory, by group, as Ansible itself reads them."""

from __future__ import annotations

import hashlib
import ipaddress
import os
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nodes.defaults import role_default
from nodes.errors import InventoryError

if TYPE_CHECKING:
    from collections.abc import Mapping

INVENTORIES = Path(__file__).resolve().parent.parent / "inventories"
# The variables that Python reads; all others are Ansible's.
READ = ("data_address", "data_interface", "function_platform", "lab_dir", "lab_kind", "netem_lease_s")
# A host's name is part of files' names and of records.
HOST = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,252}")
# Of what Ansible prints of a file that it cannot read, once for each kind that it may be: what is wrong with it.
AS_KIND = re.compile(r"Failed to parse inventory with '(script|yaml)' plugin: (.+?)\n")
BUG = "Unexpected Exception, this is probably a bug: "
TYPE = re.compile(r"\"?<class '[\w.]+\.(?:_AnsibleTagged)?(\w+)'>\"?")


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

    def address(self, host: str) -> str:
        """Return a host's address on the data network.

        Raises:
            InventoryError: the host has none, or it is not an address that only this host has.
        """
        value = self.variable(host, "data_address")
        try:
            address = ipaddress.ip_address(value if isinstance(value, str) else "")
        except ValueError:
            address = None
        if address is None or address.is_unspecified or address.is_multicast or address.is_loopback:
            raise InventoryError(
                f"inventory {self.name}: host {host}: invalid data_address {value!r:.60}: expected the node's own IP "
                "address on the data network, written out, such as 192.0.2.11"
            )
        return str(address)

    def templates(self) -> dict[str, list[str]]:
        """Return which of the variables that Python reads are templates, by host."""
        found = {
            host: [name for name in READ if isinstance(value := own.get(name), str) and "{{" in value]
            for host, own in self.variables.items()
        }
        return {host: names for host, names in found.items() if names}

    def with_values(self, values: Mapping[str, Mapping[str, Any]]) -> Inventory:
        """Return the inventory with other values of some hosts' variables."""
        variables = {host: {**own, **values.get(host, {})} for host, own in self.variables.items()}
        return replace(self, variables=variables)

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
    """Return an inventory's name as part of a file's name; of a path with its hash, as a-b/c and a/b-c are two."""
    if "/" not in name:
        return name
    digest = hashlib.sha256(name.encode(errors="surrogateescape")).hexdigest()[:8]
    return f"{Path(name).name[:100]}-{digest}"


def path_of(name: str) -> Path:
    """Return the folder of a named inventory, or the path itself when one is given.

    Raises:
        InventoryError: there is no such inventory.
    """
    path = INVENTORIES / name_of(name)  # a path given as a whole stays itself
    if not os.path.exists(path):  # noqa: PTH110 - Path's own raises where the name is too long
        known = ", ".join(sorted(entry.name for entry in INVENTORIES.iterdir() if entry.is_dir()))
        raise InventoryError(
            f"inventory {name!r:.200}: there is no {path!s:.200}. Known inventories: {known}; or give a path."
        )
    return path


def parse(name: str, listing: dict[str, Any]) -> Inventory:
    """Return the inventory that ``ansible-inventory --list`` printed.

    Raises:
        InventoryError: a host has a name that no record may have.
    """
    variables = listing.get("_meta", {}).get("hostvars", {})

    def hosts(group: str, seen: frozenset[str]) -> list[str]:
        entry = listing.get(group, {})
        members = list(entry.get("hosts", []))
        for child in entry.get("children", []):
            if child not in seen:
                members += [host for host in hosts(child, seen | {child}) if host not in members]
        return members

    groups = {group: tuple(dict.fromkeys(hosts(group, frozenset({group})))) for group in listing if group != "_meta"}
    for host in (host for members in groups.values() for host in members):
        if not HOST.fullmatch(host):
            raise InventoryError(
                f"inventory {name}: invalid host name {host!r:.80}: expected letters, digits, dots, hyphens and "
                "underscores"
            )
    return Inventory(name, groups, variables)


def reason(printed: str) -> str:
    """Return in a few words why Ansible could not read an inventory, from what it printed."""
    reasons = dict(AS_KIND.findall(printed))
    before, _, _ = printed.partition("Traceback")
    words = reasons.get("script") or reasons.get("yaml") or before.rpartition("[ERROR]: ")[2]
    return TYPE.sub(lambda kind: kind[1].lower(), " ".join(words.split()).removeprefix(BUG))[:300].rstrip(".")
