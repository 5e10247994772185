"""What the modules of all kinds of nodes have in common: their options, and how they do and say their changes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ansible.module_utils.basic import AnsibleModule
    from ansible.module_utils.lab_plan import Change

LAB_OPTIONS: dict[str, dict[str, Any]] = {
    "prefix": {"type": "str"},
    "state_dir": {"type": "path"},
    "management_network": {"type": "str"},
    "data_network": {"type": "str"},
    "management_addresses": {"type": "dict"},
    "data_addresses": {"type": "dict"},
    "compute": {"type": "list", "elements": "str"},
}


def carry_out(changes: Iterable[Change]) -> None:
    """Do what the sentences say, in their order."""
    for change in changes:
        change.do()


def exit_with(module: AnsibleModule, changes: list[Change]) -> None:
    """End the module with what was done, or would be done, as sentences."""
    sentences = [change.sentence for change in changes]
    module.exit_json(
        changed=bool(sentences),
        changes=sentences,
        diff={"before": "", "after": "".join(f"{sentence}\n" for sentence in sentences)},
    )
