"""What a testbed's links cost, told beforehand; and whether this machine can carry the nodes that it makes."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from experiments.errors import SpecError

if TYPE_CHECKING:
    from experiments.placement import Placement
    from nodes.inventory import Inventory

# Kinds of labs whose nodes share this machine's kernel, so that all their probes are one machine's.
SHARED = ("local", "containers")
# Of a node: its emulator (15 MiB and a ring of 8), its sshd and, while a playbook runs on all nodes at once, Ansible's
# worker and module; without what the function takes. And seconds of one core that a node's tasks take in shaping and in
# verifying: upper bounds, of which the controller's part was measured, 0.6 and 0.8 s.
NODE_MIB = {"local": 120, "containers": 400}
SHAPE_CORE_S, VERIFY_CORE_S = 1.4, 2.2
CONTROL_SHARE = 1 / 8  # of probes that go past an emulated link


@dataclass(frozen=True, slots=True)
class Cost:
    """What links cost: seconds to shape and to verify them once, and MiB of this machine for nodes that it makes."""

    nodes: int
    links: int
    shape_s: float
    verify_s: float
    memory_mib: int

    def words(self) -> str:
        """Return the cost as a sentence."""
        words = (
            f"links: {self.links} between {self.nodes} nodes, about {_time(self.shape_s)} to shape and "
            f"{_time(self.verify_s)} to verify, before the first repetition and after the last"
        )
        return words + (f"; the nodes take about {self.memory_mib} MiB of memory" if self.memory_mib else "")


def cost(placement: Placement, inventory: Inventory) -> Cost:
    """Return what the links of an experiment cost on an inventory's nodes; further links cost the same each."""
    pairs = {frozenset((link["source"], link["target"])) for link in placement.links}
    nodes = {node for pair in pairs for node in pair}
    kind = inventory.setting("lab_kind", role="lab", group="nodes")
    probes, interval_ms, rate = (
        float(inventory.setting(f"netem_{name}", role="netem", group="nodes"))
        for name in ("probes", "probe_interval_ms", "probes_per_s")
    )
    # Nodes of their own probe at the same time, each the pairs that it has; nodes here share what one can send.
    busiest = max((sum(node in pair for pair in pairs) for node in nodes), default=0)
    at_once = len(pairs) if kind in SHARED else busiest
    probing_s = probes * max(interval_ms / 1000, at_once * (1 + CONTROL_SHARE) / rate) if pairs else 0.0
    cores = os.cpu_count() or 1
    return Cost(
        nodes=len(nodes),
        links=len(placement.links),
        shape_s=len(nodes) * SHAPE_CORE_S / cores,
        verify_s=probing_s + len(nodes) * VERIFY_CORE_S / cores,
        memory_mib=NODE_MIB.get(kind, 0) * len(inventory.hosts("nodes")),
    )


def check(placement: Placement, inventory: Inventory) -> Cost:
    """Return the cost of links that can be carried; raises as `refuse`."""
    known = cost(placement, inventory)
    refuse(known, inventory)
    return known


def refuse(known: Cost, inventory: Inventory) -> None:
    """Refuse links that cannot be carried.

    Raises:
        SpecError: the nodes take more memory than this machine has left, or verification longer than the links' lease.
    """
    available = available_mib()
    if known.memory_mib > available and not _stands(inventory):
        raise SpecError(
            f"inventory {inventory.name}: its {len(inventory.hosts('nodes'))} nodes take about {known.memory_mib} MiB "
            f"of this machine's memory, of which {available} MiB are available; use fewer nodes"
        )
    lease_s = float(inventory.setting("netem_lease_s", role="netem", group="nodes"))
    if lease_s and known.verify_s > lease_s:
        raise SpecError(
            f"inventory {inventory.name}: verifying {known.links} links takes about {_time(known.verify_s)}, but they "
            f"clear themselves after {_time(lease_s)} (netem_lease_s); use fewer nodes or links between fewer groups, "
            "or set a longer netem_lease_s"
        )


def available_mib() -> int:
    """Return how much memory is left on this machine."""
    words = {line.split(":")[0]: line.split()[1] for line in Path("/proc/meminfo").read_text("ascii").splitlines()}
    return int(words["MemAvailable"]) // 1024


def _stands(inventory: Inventory) -> bool:
    """Whether the nodes are there: then their memory is taken already."""
    return (Path(str(inventory.setting("lab_dir", role="lab", group="nodes"))) / "made.json").exists()


def _time(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"  # noqa: PLR2004 - as one would say it
