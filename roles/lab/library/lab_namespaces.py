#!/usr/bin/python
"""Create or remove the nodes of the inventory `local`: one network namespace each, reached by SSH."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ansible.module_utils.lab.ledger import Ledger, alone, ledger_of, read_ledger, remove_lab_folder
from ansible.module_utils.lab.module import (
    asked_lab,
    carry_out_in,
    run_module,
    surplus_changes,
    take_away,
)
from ansible.module_utils.lab.network import network_changes, refuse_strangers, removal_changes
from ansible.module_utils.lab.nodes import (
    TOOLS,
    connection_changes,
    controller_changes,
    end_changes,
    file_changes,
    mount_point_removal,
    process_changes,
)
from ansible.module_utils.node.cgroups import Groups
from ansible.module_utils.node.change import Change, carry_out

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ansible.module_utils.basic import AnsibleModule
    from ansible.module_utils.lab.plan import Lab

DOCUMENTATION = r"""
module: lab_namespaces
short_description: Create or remove nodes that are network namespaces of this machine
description:
  - Compares this machine with the lab in the options and changes what differs; in check mode it only lists the changes.
  - Removes nothing that C(folder)/made.json does not name.
extends_documentation_fragment: [lab]
options:
  launcher:
    description: Script that sets up a node's paths and becomes its sshd.
    type: path
author: [faasbed]
"""
EXAMPLES = r"""
- name: Create a lab of one node
  lab_namespaces:
    folder: /var/lib/faasbed-lab
    package_tables: "{{ lab_package_tables }}"
    launcher: "{{ role_path }}/files/enter_node.sh"
    prefix: fb
    state_dir: /var/lib/faasbed
    management_network: 198.18.0.0/24
    data_network: 198.19.0.0/24
    management_addresses: {edge-1: 198.18.0.11}
    data_addresses: {edge-1: 198.19.0.11}
    compute: [edge-1]
"""
RETURN = r"""
changes:
  description: What was done, or would be done, in order.
  returned: always
  type: list
  elements: str
"""


def lab_is_laid_out(lab: Lab, ledger: Ledger | None, usable_cores: int) -> list[Change]:
    """Everything that has to change before nodes can run; what the ledger has beyond the lab is removed."""
    before, after = ledger or ledger_of(lab), ledger_of(lab)
    gone = sorted(set(before.nodes) - set(after.nodes))
    namespaces = set(before.namespaces) - set(after.namespaces)
    ended = list(end_changes(lab.state_dir, sorted(namespaces), [lab.folder / "nodes" / name for name in gone]))
    return [
        *(connection_changes(lab.control_sockets) if ended else ()),
        *ended,
        *limit_removal(namespaces),
        *surplus_changes(lab.folder, before, after),
        *network_changes(lab),
        *controller_changes(lab, usable_cores),
        *file_changes(lab),
    ]


def nodes_run(lab: Lab, launcher: Path) -> list[Change]:
    """Everything that has to change for the nodes of a lab that is laid out to answer."""
    started = list(process_changes(lab, launcher))
    return [*(connection_changes(lab.control_sockets) if started else ()), *started]


def lab_is_gone(folder: Path, ledger: Ledger | None) -> list[Change]:
    """The removal of everything that is left of the lab in the folder."""
    folder_goes = Change(f"remove {folder}", partial(remove_lab_folder, folder))
    if ledger is None:
        return [folder_goes]
    state_dir = Path(ledger.state_dir)
    homes = [folder / "nodes" / name for name in ledger.nodes]
    return [
        *connection_changes(folder / "cp"),
        *end_changes(state_dir, ledger.namespaces, homes),
        *limit_removal(ledger.namespaces),
        *removal_changes(set(ledger.namespaces), set(ledger.links)),
        *mount_point_removal(state_dir, homes),
        folder_goes,
    ]


def limit_removal(namespaces: Iterable[str]) -> Iterator[Change]:
    """Yield the removal of what limits the replicas of nodes: control groups are the machine's, not a namespace's."""
    for namespace in namespaces:
        yield from Groups(f"faasbed-{namespace}", {}).others()


def make(module: AnsibleModule, folder: Path) -> list[Change]:
    """Bring the lab to the state in the parameters."""
    lab, usable_cores = asked_lab(module)
    ledger = read_ledger(folder)
    refuse_strangers(lab, ledger)
    launcher = Path(module.params["launcher"])
    if module.check_mode:
        return [*lab_is_laid_out(lab, ledger, usable_cores), *nodes_run(lab, launcher)]
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with alone(folder):
        ledger = read_ledger(folder)
        laid_out = lab_is_laid_out(lab, ledger, usable_cores)
        carry_out_in(folder, ledger, ledger_of(lab), laid_out)
        started = nodes_run(lab, launcher)
        carry_out(started)
    return [*laid_out, *started]


def remove(module: AnsibleModule, folder: Path) -> list[Change]:
    """Remove everything the ledger names."""
    return take_away(module, folder, lab_is_gone)


def main() -> None:
    """Run as an Ansible module."""
    run_module({"launcher": {"type": "path"}}, TOOLS, make, remove)


if __name__ == "__main__":
    main()
