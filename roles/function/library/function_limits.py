#!/usr/bin/python
"""Ansible module: control groups that give replicas less CPU time and memory than their node has."""

from __future__ import annotations

from itertools import chain

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.node.cgroups import Groups, Limits
from ansible.module_utils.node.change import carry_out, outcome
from ansible.module_utils.node.errors import NodeError

DOCUMENTATION = r"""
module: function_limits
short_description: Control groups that give replicas less CPU time and memory than their node has
description:
  - One group for each service with limits, in one that carries the node's name, with cgroups version 1 or 2.
  - C(present) makes groups and sets limits, C(only) does so and removes those of other services.
options:
  node: {description: "The node's name, for sentences.", type: str, required: true}
  parent: {description: The name of the group that the others are in., type: str, required: true}
  services: {description: "Services with C(name), and C(cpus) or C(memory_mib).", type: list, elements: dict, default: []}
  state: {description: What to do., type: str, choices: [present, only], required: true}
author: [faasbed]
"""
EXAMPLES = r"""
- name: Give the replicas of a service half of a CPU
  function_limits:
    node: edge-1
    parent: faasbed-edge-1
    services: [{name: edge, cpus: 0.5, memory_mib: 1024}]
    state: present
"""
RETURN = r"""
enter: {description: By service the words before a command that limit it., type: dict, returned: success}
changes: {description: What was changed., type: list, returned: success}
"""


def main() -> None:
    """Run as Ansible's module."""
    module = AnsibleModule(
        argument_spec={
            "node": {"type": "str", "required": True},
            "parent": {"type": "str", "required": True},
            "services": {"type": "list", "elements": "dict", "default": []},
            "state": {"type": "str", "choices": ["present", "only"], "required": True},
        },
        supports_check_mode=True,
    )
    limits = {one["name"]: Limits(one.get("cpus"), one.get("memory_mib")) for one in module.params["services"]}
    try:
        groups = Groups(module.params["parent"], limits)
        changes = list(chain(groups.changes(), groups.others() if module.params["state"] == "only" else ()))
        if not module.check_mode:
            carry_out(changes)
        enter = {name: groups.enter(name) for name in limits}
    except NodeError as error:
        module.fail_json(msg=f"{module.params['node']}: {error}.")
    module.exit_json(**outcome(change.sentence for change in changes), enter=enter)


if __name__ == "__main__":
    main()
