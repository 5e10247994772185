#!/usr/bin/python
"""Ansible module: the sampler of a node's load."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.monitor.sampler import remove, running, start
from ansible.module_utils.node.errors import NodeError
from ansible.module_utils.node.process import end

DOCUMENTATION = r"""
module: monitor_sampler
short_description: Sample the load of a node once a second
description:
  - Starts a program, detached, that writes CPU time, CPU steal, memory and frequency of the node once a second, and
    every half minute whether the links that leave the node are in force.
  - It also tells base stations once a second, by a datagram, that the node is there.
  - Each start writes a file of its own, so that none is ever overwritten.
options:
  state:
    description: Whether a sampler of this folder runs, is ended, or is ended and its folder removed.
    type: str
    choices: [started, stopped, absent]
    default: started
  folder: {description: Where its files lie., type: path, required: true}
  program: {description: Text of the sampler., type: str}
  links:
    description: Data interface of a node that links leave, and the folder that roles/netem keeps on it.
    type: list
    elements: str
    default: []
  beat: {description: What each datagram says., type: dict, default: {}}
  beats_to:
    description: Address and port of each base station that is to hear it.
    type: list
    elements: list
    default: []
  pods:
    description: Words of the command that watches pods of a cluster, on the node that is to.
    type: list
    elements: str
    default: []
  max_s: {description: Seconds after which it ends by itself., type: int, default: 604800}
author: [faasbed]
"""

EXAMPLES = r"""
- name: Start the sampler
  monitor_sampler:
    folder: /var/lib/faasbed/monitor/20261124-101500-paper-1a2b
    program: "{{ lookup('file', 'sampler.py') }}"
"""

RETURN = r"""
samples:
  description: The files of samples in the order of their starts.
  type: list
  elements: str
  returned: always
"""


def main() -> None:
    """Run as Ansible's module."""
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["started", "stopped", "absent"], "default": "started"},
            "folder": {"type": "path", "required": True},
            "program": {"type": "str"},
            "links": {"type": "list", "elements": "str", "default": []},
            "beat": {"type": "dict", "default": {}},
            "beats_to": {"type": "list", "elements": "list", "default": []},
            "pods": {"type": "list", "elements": "str", "default": []},
            "max_s": {"type": "int", "default": 604800},
        },
        required_if=[("state", "started", ("program",))],
        supports_check_mode=True,
    )
    options: dict[str, Any] = module.params
    folder, state = Path(options["folder"]), options["state"]
    try:
        pids = running(folder)
        is_left = bool(pids) or (state == "absent" and folder.exists())
        changed = not pids if state == "started" else is_left
        if changed and not module.check_mode:
            if state == "started":
                told = {key: options[key] for key in ("links", "beat", "pods")} | {"to": options["beats_to"]}
                start(folder, options["program"], options["max_s"], told)
            else:
                end(pids, "samplers")
                if state == "absent" and folder.exists():
                    remove(folder)
    except (NodeError, OSError) as error:
        module.fail_json(msg=f"The load of this node cannot be sampled: {error}")
    module.exit_json(changed=changed, samples=sorted(str(path) for path in folder.glob("*.jsonl")))


if __name__ == "__main__":
    main()
