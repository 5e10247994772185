#!/usr/bin/python
"""Create or remove the nodes of the inventory `containers`: one podman container with systemd each, reached by SSH."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ansible.module_utils.lab.containers import (
    TOOLS,
    await_nodes,
    cgroup_changes,
    container_changes,
    container_removal,
    limit_changes,
    missing_cgroups,
    module_changes,
    other_labs,
    refuse_foreign_containers,
    sysctl_changes,
    sysctls,
)
from ansible.module_utils.lab.ledger import Ledger, alone, ledger_of, read_ledger, remove_lab_folder
from ansible.module_utils.lab.module import asked_lab, by_suite, carry_out_in, run_module, surplus_changes
from ansible.module_utils.lab.network import network_changes, refuse_strangers, removal_changes
from ansible.module_utils.lab.nodes import connection_changes
from ansible.module_utils.lab.plan import LabError
from ansible.module_utils.node.change import Change, carry_out

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from ansible.module_utils.basic import AnsibleModule
    from ansible.module_utils.lab.plan import Lab

DOCUMENTATION = r"""
module: lab_containers
short_description: Create or remove nodes that are podman containers on this machine
description:
  - Compares this machine with the lab in the options and changes what differs; in check mode it only lists the changes.
  - Removes nothing that C(folder)/made.json does not name.
extends_documentation_fragment: [lab]
options:
  root_archive:
    description:
      - Archive of a root file system with systemd, an SSH server and Python; C({suite}) stands for the release.
    type: path
  suites:
    description: Release of each node.
    type: dict
author: [faasbed]
"""
EXAMPLES = r"""
- name: Create a lab of one node
  lab_containers:
    folder: /var/lib/faasbed-containers
    package_tables: "{{ lab_package_tables }}"
    root_archive: /root/.cache/faasbed/node-{suite}.tar
    suites: {edge-1: bookworm}
    prefix: fc
    state_dir: /var/lib/faasbed
    management_network: 198.18.2.0/24
    data_network: 198.19.2.0/24
    management_addresses: {edge-1: 198.18.2.11}
    data_addresses: {edge-1: 198.19.2.11}
    compute: [edge-1]
"""
RETURN = r"""
changes:
  description: What was done, or would be done, in order.
  returned: always
  type: list
  elements: str
"""


def _other_ledger(folder: Path) -> Ledger | None:
    """The ledger of another lab, whose containers may stand without it."""
    try:
        return read_ledger(folder)
    except LabError:
        return None


def made(lab: Lab, before: Ledger | None) -> Ledger:
    """The ledger of the lab once it is finished; what it says of the kernel is from before the first node ran.

    That may have been another lab's: each has the record, and the last one puts it back.
    """
    names = tuple(sorted(lab.namespace(node) for node in lab.nodes))
    for known in (before, *map(_other_ledger, other_labs(lab.folder))):
        if known and known.sysctls:
            return replace(ledger_of(lab), containers=names, sysctls=known.sysctls, cgroups=known.cgroups)
    return replace(ledger_of(lab), containers=names, sysctls=sysctls(), cgroups=missing_cgroups())


def lab_stands(
    lab: Lab, ledger: Ledger | None, after: Ledger, archives: Mapping[str, Path], usable_cores: int
) -> Iterator[Change]:
    """Everything that has to change for the lab's nodes to run; what the ledger has beyond the lab is removed."""
    before = ledger or after
    yield from container_removal(sorted(set(before.containers) - set(after.containers)))
    yield from surplus_changes(lab.folder, before, after)
    yield from limit_changes()
    yield from module_changes()
    yield from network_changes(lab)
    yield from container_changes(lab, archives, usable_cores)


def kernel_as_before(folder: Path, ledger: Ledger) -> list[Change]:
    """The settings of the kernel as they were before the first node ran, unless other labs still need them."""
    return [] if other_labs(folder) else [*sysctl_changes(ledger.sysctls), *cgroup_changes(ledger.cgroups)]


def lab_is_gone(folder: Path, ledger: Ledger | None) -> list[Change]:
    """The removal of everything that is left of the lab in the folder."""
    folder_goes = Change(f"remove {folder}", lambda: remove_lab_folder(folder))
    if ledger is None:
        return [folder_goes]
    return [
        *connection_changes(folder / "cp"),
        *container_removal(ledger.containers),
        *kernel_as_before(folder, ledger),
        *removal_changes(set(ledger.namespaces), set(ledger.links)),
        folder_goes,
    ]


def make(module: AnsibleModule, folder: Path) -> list[Change]:
    """Bring the lab to the state in the parameters."""
    lab, usable_cores = asked_lab(module, default_route=True)
    archives = by_suite(module, "root_archive", lab)
    ledger = read_ledger(folder)
    refuse_strangers(lab, ledger)
    refuse_foreign_containers(lab)
    if module.check_mode:
        return list(lab_stands(lab, ledger, made(lab, ledger), archives, usable_cores))
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with alone(folder):
        ledger = read_ledger(folder)
        after = made(lab, ledger)
        changes = list(lab_stands(lab, ledger, after, archives, usable_cores))
        if changes:
            carry_out(connection_changes(lab.control_sockets))
        carry_out_in(folder, ledger, after, changes)
        await_nodes(lab)
    return changes


def remove(module: AnsibleModule, folder: Path) -> list[Change]:
    """Remove everything the ledger names."""
    if not folder.exists():
        return []
    with alone(folder):
        ledger = read_ledger(folder)
        changes = lab_is_gone(folder, ledger)
        if not module.check_mode:
            carry_out(changes)
            # A kubelet that was still ending may have set them once more after they were set back.
            carry_out(kernel_as_before(folder, ledger) if ledger else [])
    return changes


def main() -> None:
    """Run as an Ansible module."""
    run_module({"root_archive": {"type": "path"}, "suites": {"type": "dict"}}, TOOLS, make, remove)


if __name__ == "__main__":
    main()
