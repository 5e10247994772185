"""Inventories: what Ansible reads, and where the paper's scenarios stand on it.

``files`` are those of the inventory's folder, which Ansible reads (a second each), or ``listing`` is what it printed:
``with`` are changes of a good one. ``name`` is given in place of a folder; ``programs`` makes the files executable.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bad_inputs import as_bytes, changed

from experiments import placement, spec
from experiments.errors import FaasbedError
from nodes import inventory as inventories
from nodes.playbooks import read_inventory
from surfaces import Opened, sentence

if TYPE_CHECKING:
    from pathlib import Path

GROUPS = {"base_stations": ["bs"], "edge": ["edge-1", "edge-2"], "cloud": ["cloud-1"]}
HOSTS = [host for hosts in GROUPS.values() for host in hosts]
# What `ansible-inventory --list` prints of inventories/local, as far as it is read.
GOOD = {
    "_meta": {"hostvars": {host: {"data_address": f"192.0.2.{place}"} for place, host in enumerate(HOSTS, 10)}},
    "all": {"children": ["ungrouped", "nodes"]},
    "nodes": {"children": ["base_stations", "compute"]},
    "compute": {"children": ["edge", "cloud"]},
    **{group: {"hosts": hosts} for group, hosts in GROUPS.items()},
}


class Surface(Opened):
    """The reading of an inventory, and the paper's scenarios on its nodes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "inventory"
        self._folder.mkdir(exist_ok=True)

    def answer(
        self,
        files: dict[str, Any] | None = None,
        name: str | None = None,
        listing: Any = None,
        programs: bool = False,
        **given: Any,
    ) -> str:
        """Return the sentence that refuses, or ``accepted``."""
        for old in self._folder.iterdir():
            old.unlink()
        for path, content in (files or {}).items():
            (self._folder / path).write_bytes(as_bytes(content))
            (self._folder / path).chmod(0o755 if programs else 0o644)
        try:
            if files is not None or name is not None:
                inventory = read_inventory(name or str(self._folder))
            else:
                inventory = inventories.parse("own", changed(GOOD, given["with"]) if "with" in given else listing)
            placed = placement.place(spec.load("paper"), inventory)
            placed.variables()
        except FaasbedError as error:
            said = sentence(error, 2)
            return said.replace(str(self._folder), "FOLDER").replace(str(inventories.INVENTORIES), "INVENTORIES")
        return "accepted"
