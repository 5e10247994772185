"""What the modules of all kinds of nodes share: their options, and how they carry out and report changes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.lab.ledger import Ledger, alone, read_ledger
from ansible.module_utils.lab.machine import check_tools
from ansible.module_utils.lab.network import removal_changes
from ansible.module_utils.lab.nodes import folder_removal
from ansible.module_utils.lab.plan import Lab, core_warning, make_lab
from ansible.module_utils.node.change import carry_out, outcome
from ansible.module_utils.node.errors import NodeError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from ansible.module_utils.node.change import Change

LAB_OPTIONS: dict[str, dict[str, Any]] = {
    "prefix": {"type": "str"},
    "state_dir": {"type": "path"},
    "management_network": {"type": "str"},
    "data_network": {"type": "str"},
    "management_addresses": {"type": "dict"},
    "data_addresses": {"type": "dict"},
    "compute": {"type": "list", "elements": "str"},
}


def carry_out_in(folder: Path, ledger: Ledger | None, after: Ledger, changes: list[Change]) -> None:
    """Do the changes that lead from one ledger to another: what is to be created is recorded before it is created."""
    if changes:
        (ledger.and_then(after) if ledger else after).write(folder)
        carry_out(changes)
        after.write(folder)


def surplus_changes(folder: Path, before: Ledger, after: Ledger) -> Iterator[Change]:
    """Remove what a lab had and no longer has: links, namespaces and the folders of removed nodes."""
    yield from removal_changes(set(before.namespaces) - set(after.namespaces), set(before.links) - set(after.links))
    for name in sorted(set(before.nodes) - set(after.nodes)):
        for kind in ("nodes", "sshd"):
            yield from folder_removal(folder / kind / name)


def take_away(
    module: AnsibleModule, folder: Path, lab_is_gone: Callable[[Path, Ledger | None], list[Change]]
) -> list[Change]:
    """Remove everything the ledger names."""
    if not folder.exists():
        return []
    with alone(folder):
        changes = lab_is_gone(folder, read_ledger(folder))
        if not module.check_mode:
            carry_out(changes)
    return changes


def asked_lab(module: AnsibleModule, *, default_route: bool = False, taps: bool = False) -> tuple[Lab, int]:
    """The lab that the parameters ask for, and how many cores it may use; warns if they are too few.

    Raises:
        LabError: a parameter that makes no lab, by its name.
    """
    cores = sorted(os.sched_getaffinity(0))
    lab = make_lab(module.params, cores, default_route=default_route, taps=taps)
    warning = core_warning(lab.nodes, len(cores))
    if warning:
        module.warn(warning)
    return lab, len(cores)


def by_suite(module: AnsibleModule, option: str, lab: Lab) -> dict[str, Path]:
    """What each node starts from: the path in an option, with the node's release for ``{suite}``."""
    path, suites = module.params[option], module.params["suites"]
    return {node.name: Path(path.replace("{suite}", str(suites.get(node.name)))) for node in lab.nodes}


def run_module(
    own: dict[str, dict[str, Any]],
    tools: Iterable[str],
    make: Callable[[AnsibleModule, Path], list[Change]],
    remove: Callable[[AnsibleModule, Path], list[Change]],
) -> None:
    """Run as the Ansible module of one kind of nodes.

    Args:
        own: the options that this kind has beside those of all kinds.
        tools: the programs it needs.
        make: brings the lab in a folder to what is asked for, and returns what was done, or would be done.
        remove: takes the lab in a folder away, and returns the same.
    """
    options = {**own, **LAB_OPTIONS}
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "folder": {"type": "path", "required": True},
            "package_tables": {"type": "dict", "required": True},
            **options,
        },
        required_if=[("state", "present", tuple(options))],
        supports_check_mode=True,
    )
    try:
        check_tools(tools, module.params["package_tables"])
        changes = (make if module.params["state"] == "present" else remove)(module, Path(module.params["folder"]))
    except NodeError as error:
        module.fail_json(msg=str(error))
    module.exit_json(**outcome(change.sentence for change in changes))
