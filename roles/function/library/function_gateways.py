#!/usr/bin/python
"""Ansible module: wait until the gateways of a node reach a replica, and look at their connections to the replicas."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.function.readiness import Program, wait
from ansible.module_utils.function.supervisor import Supervisor
from ansible.module_utils.node.errors import NodeError
from ansible.module_utils.node.process import run

DOCUMENTATION = r"""
module: function_gateways
short_description: Wait until the gateways of a node reach a replica, and look at their connections
description:
  - Requests C(/readyz) from each gateway. A port that another program has is an error at once. A gateway that takes
    connections and answers nobody, as of a process that is stopped, is started again, once.
  - With C(connections) it refuses a gateway whose connections to its replicas use another TCP congestion control.
options:
  node: {description: "The node's name, for errors.", type: str, required: true}
  host: {description: The address where the gateways listen., type: str, required: true}
  folder: {description: "The role's folder.", type: path, required: true}
  programs: {description: The folder of supervisorctl., type: path, required: true}
  gateways:
    description: Services with C(name), C(port) and C(congestion_control) whose gateway is here.
    type: list
    elements: dict
    required: true
  replica_port_offset: {description: How much above its service's port a replica listens., type: int, required: true}
  connections: {description: Whether their connections are looked at., type: bool, default: false}
  timeout_s: {description: How long to wait for each., type: int, required: true}
author: [faasbed]
"""
EXAMPLES = r"""
- name: Wait until the gateway reaches a replica
  function_gateways:
    node: edge-1
    host: 198.19.0.11
    folder: /var/lib/faasbed/function
    programs: /var/lib/faasbed/runtime/venv/bin
    gateways: [{name: edge, port: 31080, congestion_control: cubic}]
    replica_port_offset: 1000
    timeout_s: 60
"""
RETURN = r"""
connections: {description: "By service, what ss says of the gateway's connections.", type: dict, returned: success}
"""


def connections(gateway: dict[str, Any], replica_port: int) -> str:
    """Return what ss says of a gateway's connections to its replicas.

    Raises:
        NodeError: there are none, or they use another congestion control.
    """
    expected = gateway["congestion_control"]
    told = run("ss", "-HtinO", "state", "established", "dport", f"= :{replica_port}").strip()
    if not told or any(f" {expected} " not in line for line in told.splitlines()):
        raise NodeError(
            f"{gateway['name']}: the gateway's connections to its replicas do not use {expected} "
            f"({told or 'there are none'}). Check that this kernel has tcp_{expected}."
        )
    return told


def main() -> None:
    """Run as Ansible's module."""
    module = AnsibleModule(
        argument_spec={
            "node": {"type": "str", "required": True},
            "host": {"type": "str", "required": True},
            "folder": {"type": "path", "required": True},
            "programs": {"type": "path", "required": True},
            "gateways": {"type": "list", "elements": "dict", "required": True},
            "replica_port_offset": {"type": "int", "required": True},
            "connections": {"type": "bool", "default": False},
            "timeout_s": {"type": "int", "required": True},
        },
        supports_check_mode=True,
    )
    options = module.params
    supervisor = Supervisor(Path(options["folder"]), Path(options["programs"]))
    restarted, told = False, {}
    try:
        for one in options["gateways"]:
            gateway = Program("gateway", one["name"], one["port"])
            restarted |= wait(
                gateway,
                options["node"],
                options["host"],
                supervisor,
                options["timeout_s"],
                may_restart=not module.check_mode,
            )
            if options["connections"]:
                told[one["name"]] = connections(one, one["port"] + options["replica_port_offset"])
    except NodeError as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=restarted, connections=told)


if __name__ == "__main__":
    main()
