#!/usr/bin/python
"""Create or remove the nodes of the inventory `vm`: one QEMU virtual machine each, reached by SSH."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ansible.module_utils.lab.ledger import Ledger, alone, ledger_of, read_ledger, remove_lab_folder
from ansible.module_utils.lab.machine import boot
from ansible.module_utils.lab.module import (
    asked_lab,
    by_suite,
    carry_out_in,
    run_module,
    surplus_changes,
    take_away,
)
from ansible.module_utils.lab.network import network_changes, refuse_strangers, removal_changes
from ansible.module_utils.lab.nodes import connection_changes, end_changes
from ansible.module_utils.lab.plan import LabError
from ansible.module_utils.lab.vms import TOOLS, Machines, Size, check_memory, choose, vm_changes, vm_removal
from ansible.module_utils.node.change import Change, carry_out
from ansible.module_utils.node.files import read, write

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: lab_vms
short_description: Create or remove nodes that are QEMU virtual machines on this machine
description:
  - Compares this machine with the lab in the options and changes what differs; in check mode it only lists the changes.
  - Does not wait until the nodes answer.
  - Removes nothing that C(folder)/made.json does not name.
extends_documentation_fragment: [lab]
options:
  image:
    description:
      - Folder with C(disk.raw), C(vmlinuz) and C(initrd.img), from which nodes start; C({suite}) stands for the release.
    type: path
  suites:
    description: Release of each node.
    type: dict
  accelerator:
    description: What runs the virtual CPUs; C(auto) uses KVM if the nodes' kernel starts on it, else C(tcg).
    type: str
    choices: [auto, kvm, tcg]
  memory_mib:
    description: Memory of each node, by name.
    type: dict
  cores:
    description: Number of virtual CPUs of each node, by name.
    type: dict
author: [faasbed]
"""
EXAMPLES = r"""
- name: Create a lab of one node
  lab_vms:
    folder: /var/lib/faasbed-vm
    package_tables: "{{ lab_package_tables }}"
    image: /root/.cache/faasbed/machine-{suite}
    suites: {edge-1: bookworm}
    accelerator: auto
    memory_mib: {edge-1: 1024}
    cores: {edge-1: 1}
    prefix: fv
    state_dir: /var/lib/faasbed
    management_network: 198.18.3.0/24
    data_network: 198.19.3.0/24
    management_addresses: {edge-1: 198.18.3.11}
    data_addresses: {edge-1: 198.19.3.11}
    compute: [edge-1]
"""
RETURN = r"""
changes:
  description: What was done, or would be done, in order.
  returned: always
  type: list
  elements: str
"""

LEAST = {"memory_mib": 256, "cores": 1}


def asked_machines(module: AnsibleModule, folder: Path) -> tuple[Machines, int]:
    """The machines that the parameters ask for, and how many cores they may use.

    What runs them is tried once in a boot of this machine, and remembered: the nodes that run were started with it.

    Raises:
        LabError: a parameter that makes no lab, by its name.
    """
    lab, usable_cores = asked_lab(module, default_route=True, taps=True)
    sizes = {}
    for node in lab.nodes:
        size = {key: str(module.params[key].get(node.name)) for key in LEAST}
        for key, least in LEAST.items():
            if not size[key].isdecimal() or int(size[key]) < least:
                raise LabError(f"{key} of {node.name} is {size[key]}: expected an integer of at least {least}.")
        sizes[node.name] = Size(**{key: int(value) for key, value in size.items()})
    images = by_suite(module, "image", lab)
    kernels = sorted(set(images.values()))
    accelerator, remembered = module.params["accelerator"], folder / "accelerator"
    about = f"{boot()} {accelerator} {' '.join(image.name for image in kernels)} "
    known = read(remembered) or ""
    chosen = known.removeprefix(about).strip() if known.startswith(about) else ""
    if not chosen and not module.check_mode:
        chosen = choose(kernels, accelerator)
        write(remembered, f"{about}{chosen}\n", 0o600, folder_mode=0o700)
    return Machines(replace(lab, accelerator=chosen), images, sizes), usable_cores


def lab_stands(machines: Machines, ledger: Ledger | None, usable_cores: int) -> Iterator[Change]:
    """Everything that has to change for the lab's nodes to run; what the ledger has beyond the lab is removed."""
    lab = machines.lab
    before, after = ledger or ledger_of(lab), ledger_of(lab)
    yield from vm_removal(lab.folder, set(before.nodes) - set(after.nodes))
    yield from surplus_changes(lab.folder, before, after)
    yield from network_changes(lab)
    yield from vm_changes(machines, usable_cores)


def lab_is_gone(folder: Path, ledger: Ledger | None) -> list[Change]:
    """The removal of everything that is left of the lab in the folder."""
    folder_goes = Change(f"remove {folder}", lambda: remove_lab_folder(folder))
    if ledger is None:
        return [folder_goes]
    return [
        *connection_changes(folder / "cp"),
        *vm_removal(folder, ledger.nodes),
        *end_changes(Path(ledger.state_dir), ledger.namespaces, []),
        *removal_changes(set(ledger.namespaces), set(ledger.links)),
        folder_goes,
    ]


def make(module: AnsibleModule, folder: Path) -> list[Change]:
    """Bring the lab to the state in the parameters."""
    ledger = read_ledger(folder)
    if module.check_mode:
        machines, usable_cores = asked_machines(module, folder)
        refuse_strangers(machines.lab, ledger)
        check_memory(machines)
        return list(lab_stands(machines, ledger, usable_cores))
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with alone(folder):
        ledger = read_ledger(folder)
        machines, usable_cores = asked_machines(module, folder)
        lab = machines.lab
        refuse_strangers(lab, ledger)
        check_memory(machines)
        changes = list(lab_stands(machines, ledger, usable_cores))
        if changes:
            carry_out(connection_changes(lab.control_sockets))
        carry_out_in(folder, ledger, ledger_of(lab), changes)
    return changes


def remove(module: AnsibleModule, folder: Path) -> list[Change]:
    """Remove everything the ledger names."""
    return take_away(module, folder, lab_is_gone)


def main() -> None:
    """Run as an Ansible module."""
    own: dict[str, dict[str, Any]] = {
        "image": {"type": "path"},
        "suites": {"type": "dict"},
        "accelerator": {"type": "str", "choices": ["auto", "kvm", "tcg"]},
        "memory_mib": {"type": "dict"},
        "cores": {"type": "dict"},
    }
    run_module(own, TOOLS, make, remove)


if __name__ == "__main__":
    main()
