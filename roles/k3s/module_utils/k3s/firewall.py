"""What a cluster leaves in iptables: known by the names of its chains, removed without touching anything else."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from ansible.module_utils.node.process import attempt

PREFIXES = ("KUBE-", "CNI-", "FLANNEL-")
PROGRAMS = ("iptables", "ip6tables", "iptables-legacy", "ip6tables-legacy")
# The controller of network policies also has rules in the kernel's own chains that lead to no chain; it marks them so.
ROUTER = "KUBE-ROUTER"
# A released k3s brings its own.
BUNDLED = Path("/var/lib/rancher/k3s/data/current/bin/aux")


@dataclass
class Table:
    """One table of what ``iptables-save`` prints."""

    name: str
    builtin: list[str] = field(default_factory=list)
    own: list[str] = field(default_factory=list)
    rules: list[str] = field(default_factory=list)

    def ours(self, kept: set[str]) -> list[str]:
        """Return the chains that a cluster made, without those that were there before it."""
        return [chain for chain in self.own if chain.startswith(PREFIXES) and chain not in kept]

    def leading(self, gone: set[str], kept: set[str]) -> list[str]:
        """Return the rules of other chains that lead to chains that go, or are marked as a cluster's."""
        is_ours = not any(chain.startswith(ROUTER) for chain in kept)
        found = []
        for rule in self.rules:
            words = rule.split()
            leads = any(word in {"-j", "-g"} and target in gone for word, target in pairwise(words))
            marked = is_ours and f'--comment "{ROUTER} ' in rule
            if words[1] not in gone and (leads or marked):
                found.append(rule)
        return found


def tables_of(saved: str) -> list[Table]:
    """Return the tables of the text that ``iptables-save`` prints."""
    tables: list[Table] = []
    for line in saved.splitlines():
        if line.startswith("*"):
            tables.append(Table(line[1:].strip()))
        elif line.startswith(":"):
            name, policy = line[1:].split()[:2]
            (tables[-1].own if policy == "-" else tables[-1].builtin).append(name)
        elif line.startswith("-A "):
            tables[-1].rules.append(line)
    return tables


def removal_of(saved: str, kept: set[str]) -> str:
    """Return what ``iptables-restore --noflush`` has to read so that a cluster's chains go, and nothing else.

    Args:
        saved: the text that ``iptables-save`` prints.
        kept: chains of such names that were there before the cluster.
    """
    script = []
    for table in tables_of(saved):
        chains = table.ours(kept)
        rules = table.leading(set(chains), kept)
        if chains or rules:
            script += [f"*{table.name}", *(f"-F {chain}" for chain in chains), *(f"-D{rule[2:]}" for rule in rules)]
            script += [*(f"-X {chain}" for chain in chains), "COMMIT"]
    return "".join(f"{line}\n" for line in script)


def program(name: str) -> str | None:
    """Return the path of a program of iptables, or None where the node has none."""
    bundled = BUNDLED / name
    return shutil.which(name) or (str(bundled) if bundled.exists() else None)


def in_force() -> dict[str, str]:
    """Return the text that ``iptables-save`` of each kind on this node prints."""
    rules = {}
    for kind in PROGRAMS:
        save = program(f"{kind}-save")
        if save:
            rules[kind] = attempt(save).stdout
    return rules


def before() -> dict[str, list[str]]:
    """Return what was there before a cluster: tables by kind, and chains whose names a cluster might use."""
    return {
        kind: [
            *(table.name for table in tables_of(saved)),
            *(chain for table in tables_of(saved) for chain in table.ours(set())),
        ]
        for kind, saved in in_force().items()
    }
