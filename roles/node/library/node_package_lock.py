#!/usr/bin/python
"""Ansible module: wait until no other program installs packages on this node."""

from __future__ import annotations

import time

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.node.packages import installer

DOCUMENTATION = r"""
module: node_package_lock
short_description: Wait until no other program installs packages
description:
  - Unattended upgrades hold the lock of dpkg for minutes. Afterwards a warning tells for whom was waited.
options:
  timeout_s: {description: How long to wait., type: float, required: true}
author: [faasbed]
"""
EXAMPLES = r"""
- name: Wait until no other program installs packages
  node_package_lock:
    timeout_s: 900
"""
RETURN = r"""
waited_s: {description: How long the wait took., type: float, returned: success}
"""

POLL_S = 0.5


def main() -> None:
    """Run as Ansible's module."""
    module = AnsibleModule(argument_spec={"timeout_s": {"type": "float", "required": True}}, supports_check_mode=True)
    started, waited_for = time.monotonic(), None
    while (holder := installer()) is not None:
        waited_for = holder
        if time.monotonic() - started > module.params["timeout_s"]:
            module.fail_json(
                msg=f"{holder} has held the lock of dpkg for {module.params['timeout_s']:g} s: wait until it has ended, or "
                "end it, then run this again."
            )
        time.sleep(POLL_S)
    waited_s = round(time.monotonic() - started, 1)
    if waited_for:
        module.warn(f"waited {waited_s:g} s for {waited_for}, which installed packages")
    module.exit_json(changed=False, waited_s=waited_s)


if __name__ == "__main__":
    main()
