#!/usr/bin/python
"""Ansible module: refuse a node on which another program has a port of the function."""

from __future__ import annotations

from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.node.listeners import strangers, taken

DOCUMENTATION = r"""
module: function_ports
short_description: Refuse a node on which another program has a port of the function
description:
  - Names the port and who listens on it. The programs of the role's own supervisor may have theirs.
options:
  node: {description: The node's name, for the error., type: str, required: true}
  host: {description: The address where replicas and gateways listen., type: str, required: true}
  ports: {description: The ports that they need., type: list, elements: int, required: true}
  supervisor: {description: The file with the supervisor's process id., type: path, required: true}
author: [faasbed]
"""
EXAMPLES = r"""
- name: Refuse ports that are in use
  function_ports:
    node: edge-1
    host: 198.19.0.11
    ports: [31080, 32080]
    supervisor: /var/lib/faasbed/function/supervisord.pid
"""
RETURN = r"""
ports:
  description: The ports that no other program has.
  type: list
  elements: int
  returned: success
"""


def main() -> None:
    """Run as Ansible's module."""
    module = AnsibleModule(
        argument_spec={
            "node": {"type": "str", "required": True},
            "host": {"type": "str", "required": True},
            "ports": {"type": "list", "elements": "int", "required": True},
            "supervisor": {"type": "path", "required": True},
        },
        supports_check_mode=True,
    )
    node, host, ports, supervisor = (module.params[name] for name in ("node", "host", "ports", "supervisor"))
    sentences = [
        taken(node, host, port, others) for port in ports if (others := strangers(host, port, Path(supervisor)))
    ]
    if sentences:
        module.fail_json(msg=" ".join(sentences))
    module.exit_json(changed=False, ports=ports)


if __name__ == "__main__":
    main()
