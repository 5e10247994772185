#!/usr/bin/python
"""Ansible module: measure how much of a CPU each limited replica's control group gives."""

from __future__ import annotations

import json

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.function.examination import limits_of
from ansible.module_utils.node.cgroups import Groups
from ansible.module_utils.node.errors import NodeError
from ansible.module_utils.node.process import run

DOCUMENTATION = r"""
module: function_calibration
short_description: Measure how much of a CPU each limited replica's control group gives
description:
  - Repeats a fixed piece of work with the function's Python for C(seconds), outside the control group and in it. The share
    of a CPU is the pieces in a second of time there, over the pieces in a second of CPU time outside.
  - A replica that is limited in memory only has no work to do. The kernel's counters of the group are read before and after.
options:
  node: {description: "The node's name, for sentences.", type: str, required: true}
  parent: {description: The group that the replicas' groups are in., type: str, required: true}
  services: {description: "Services with C(name), and C(cpus) or C(memory_mib).", type: list, elements: dict, required: true}
  python: {description: "The function's Python.", type: path, required: true}
  seconds: {description: How long to work each time., type: float, default: 3}
author: [faasbed]
"""
EXAMPLES = r"""
- name: Measure what the control group of a service gives
  function_calibration:
    node: edge-1
    parent: faasbed-edge-1
    services: [{name: edge, cpus: 0.5}]
    python: /usr/bin/python3
"""
RETURN = r"""
calibrations:
  description: By service C(service), C(cpus), C(memory_mib), C(share) and the kernel's counters C(begin) and C(end).
  type: list
  elements: dict
  returned: success
"""

# Two periods first: a group that was idle may spend a whole quota at once.
WORK = """
import json, sys, time
def work():
    total = 0
    for number in range(2000):
        total += number * number
def measure(seconds):
    begin, begin_cpu, pieces = time.perf_counter(), time.process_time(), 0
    while time.perf_counter() - begin < seconds:
        work()
        pieces += 1
    return pieces, time.perf_counter() - begin, time.process_time() - begin_cpu
measure(0.2)
print(json.dumps(measure(float(sys.argv[1]))))
"""


def pieces_per_s(python: str, seconds: float, enter: list[str]) -> tuple[float, float]:
    """Return the pieces of work in a second, and in a second of CPU time; `enter` are the words before the command.

    Raises:
        NodeError: the group cannot be entered, or its memory is too little for Python.
    """
    pieces, wall_s, cpu_s = json.loads(run(*enter, python, "-c", WORK, str(seconds)))
    return pieces / wall_s, pieces / cpu_s


def main() -> None:
    """Run as Ansible's module."""
    module = AnsibleModule(
        argument_spec={
            "node": {"type": "str", "required": True},
            "parent": {"type": "str", "required": True},
            "services": {"type": "list", "elements": "dict", "required": True},
            "python": {"type": "path", "required": True},
            "seconds": {"type": "float", "default": 3},
        },
        supports_check_mode=True,
    )
    options = module.params
    limits = limits_of(options["services"])
    calibrations = []
    try:
        groups = Groups(options["parent"], limits)
        for name, limit in limits.items():
            begin, share = groups.counted(name), None
            if limit.cpus is not None:
                _, outside = pieces_per_s(options["python"], options["seconds"] / 3, [])
                inside, _ = pieces_per_s(options["python"], options["seconds"], groups.enter(name))
                share = round(inside / outside, 4)
            calibrations.append(
                {
                    "service": name,
                    "cpus": limit.cpus,
                    "memory_mib": limit.memory_mib,
                    "share": share,
                    "begin": begin,
                    "end": groups.counted(name),
                }
            )
    except NodeError as error:
        module.fail_json(msg=f"{options['node']}: {error}")
    module.exit_json(changed=False, calibrations=calibrations)


if __name__ == "__main__":
    main()
