#!/usr/bin/python
"""Ansible module: what the record of a run says of a node."""

from __future__ import annotations

import os
import platform
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.common.sys_info import get_distribution, get_distribution_version
from ansible.module_utils.node.errors import NodeError
from ansible.module_utils.node.process import run

DOCUMENTATION = r"""
module: node_facts
short_description: Return what the record of a run says of a node
description:
  - In one call what C(setup) and three commands would tell in four, and nothing beside it.
options:
  interface: {description: The interface towards the data network., type: str, required: true}
author: [faasbed]
"""
EXAMPLES = r"""
- name: Gather what is recorded of the node
  node_facts:
    interface: data0
"""
RETURN = r"""
facts:
  description:
    - C(kernel), C(architecture), C(distribution), C(distribution_version), C(usable_cores), C(memory_mib), C(python),
      C(cpu), C(iproute2), C(default_congestion_control), and as C(tc) how the interface is shaped.
  type: dict
  returned: success
"""

# What /proc/cpuinfo calls a processor, by architecture; all cores of most machines say the same.
MODEL = ("vendor_id", "model name", "Hardware", "Model")


def cpu(cpuinfo: str) -> str:
    """Return what the processors are, as `/proc/cpuinfo` tells it; arm64 tells numbers only, which are left out."""
    lines = [line.partition(":") for line in cpuinfo.splitlines()]
    return ", ".join(dict.fromkeys(value.strip() for key, _, value in lines if key.strip() in MODEL))


def memory_mib(meminfo: str) -> int:
    """Return how much memory there is, as `/proc/meminfo` tells it in KiB."""
    (total,) = (line.split()[1] for line in meminfo.splitlines() if line.startswith("MemTotal:"))
    return int(total) // 1024


def main() -> None:
    """Run as Ansible's module."""
    module = AnsibleModule(argument_spec={"interface": {"type": "str", "required": True}}, supports_check_mode=True)
    try:
        facts = {
            "iproute2": run("tc", "-V").strip(),
            "tc": run("tc", "-details", "qdisc", "show", "dev", module.params["interface"]).strip(),
        }
    except NodeError as error:
        module.fail_json(msg=f"{error}.")
    module.exit_json(
        changed=False,
        facts={
            "kernel": platform.release(),
            "architecture": platform.machine(),
            "distribution": get_distribution(),
            "distribution_version": get_distribution_version(),
            "usable_cores": len(os.sched_getaffinity(0)),
            "memory_mib": memory_mib(Path("/proc/meminfo").read_text()),
            "python": platform.python_version(),
            "cpu": cpu(Path("/proc/cpuinfo").read_text()),
            "default_congestion_control": Path("/proc/sys/net/ipv4/tcp_congestion_control").read_text().strip(),
            **facts,
        },
    )


if __name__ == "__main__":
    main()
