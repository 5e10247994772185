#!/usr/bin/python
"""Ansible module: identify the node's distribution, and refuse one that is not supported."""

from __future__ import annotations

from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.node.distribution import distribution_of
from ansible.module_utils.node.files import read

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

OS_RELEASE = (Path("/etc/os-release"), Path("/usr/lib/os-release"))


def main() -> None:
    """Run as Ansible's module."""
    module = AnsibleModule(
        argument_spec={"supported": {"type": "list", "elements": "str", "required": True}}, supports_check_mode=True
    )
    text = next((text for path in OS_RELEASE if (text := read(path)) is not None), "")
    name, family = distribution_of(text)
    supported = sorted(module.params["supported"])
    if family not in supported:
        module.fail_json(
            msg=f"The distribution is {name} (family {family}), supported families: {', '.join(supported)}. Use one of "
            f"them, or add vars/{family}.yml to the role node (its README says how)."
        )
    module.exit_json(changed=False, name=name, family=family)


if __name__ == "__main__":
    main()
