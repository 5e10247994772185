#!/usr/bin/python
"""Ansible module: how far the measurement on this base station is."""

from __future__ import annotations

import json

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: driver_progress
short_description: Return how far a measurement is
description:
  - Returns when the status changed, when the measurement has ended, or after O(wait_s).
  - Retried with C(until), it tells at each retry how far the measurement is, in V(progress).
options:
  command: {description: The driver's program as a list of words., type: list, elements: str, required: true}
  code_dir: {description: The folder that the program runs in., type: path, required: true}
  folder: {description: The run's folder on the base station., type: path, required: true}
  wait_s: {description: How long to wait for a change in seconds., type: float, default: 0}
author: [faasbed]
"""

EXAMPLES = r"""
- name: Follow the measurement to its end
  driver_progress:
    command: [/var/lib/faasbed/runtime/venv/bin/python, -m, experiments.base_station]
    code_dir: /var/lib/faasbed/runtime/code
    folder: /var/lib/faasbed/driver/20261124-101500-paper-1a2b
    wait_s: 20
  register: driver_followed
  until: driver_followed is failed or driver_followed.progress.state in ['done', 'failed']
  retries: 1000000
  delay: 0
"""

RETURN = r"""
progress:
  description: C(state) (starting, running, done or failed), C(finished) and C(total) repetitions, C(last), C(error).
  type: dict
  returned: success
"""


def main() -> None:
    """Run as Ansible's module."""
    module = AnsibleModule(
        argument_spec={
            "command": {"type": "list", "elements": "str", "required": True},
            "code_dir": {"type": "path", "required": True},
            "folder": {"type": "path", "required": True},
            "wait_s": {"type": "float", "default": 0},
        },
        supports_check_mode=True,
    )
    options = module.params
    command = [*options["command"], "follow", "--folder", options["folder"], "--wait-s", str(options["wait_s"])]
    code, output, errors = module.run_command(command, cwd=options["code_dir"])
    if code:
        reason = (errors.strip().splitlines() or ["no output"])[-1]
        module.fail_json(msg=f"the driver's status cannot be read (exit code {code}): {reason}")
    module.exit_json(changed=False, progress=json.loads(output))


if __name__ == "__main__":
    main()
