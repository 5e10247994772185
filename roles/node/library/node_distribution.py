#!/usr/bin/python
"""Ansible module: identify the node's distribution, and refuse one that is not supported."""

from __future__ import annotations

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.node.distribution import supported
from ansible.module_utils.node.errors import NodeError

DOCUMENTATION = r"""
module: node_distribution
short_description: Identify the node's distribution, and refuse one that is not supported
description:
  - Reads C(/etc/os-release) and nothing else, which takes a small node a fraction of what C(setup) takes.
options:
  supported: {description: The supported families., type: list, elements: str, required: true}
author: [faasbed]
"""
EXAMPLES = r"""
- name: Identify the distribution
  node_distribution:
    supported: [Debian]
"""
RETURN = r"""
name: {description: The distribution with its version., type: str, returned: always}
family: {description: What C(ansible_os_family) would be., type: str, returned: always}
"""


def main() -> None:
    """Run as Ansible's module."""
    module = AnsibleModule(
        argument_spec={"supported": {"type": "list", "elements": "str", "required": True}}, supports_check_mode=True
    )
    try:
        found = supported(module.params["supported"])
    except NodeError as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=False, name=found.name, family=found.family)


if __name__ == "__main__":
    main()
