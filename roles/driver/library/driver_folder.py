#!/usr/bin/python
"""Ansible module: the folder of a run on a base station."""

from __future__ import annotations

from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.node.files import sha256_of

DOCUMENTATION = r"""
module: driver_folder
short_description: Make the folder of a run, and return which of its files are to be brought
description:
  - A file that is there with the same SHA-256 need not be brought again; data sets are large.
options:
  folder: {description: Absolute path of the folder., type: path, required: true}
  files: {description: SHA-256 of each file by its name., type: dict, required: true}
author: [faasbed]
"""
EXAMPLES = r"""
- name: Make the run's folder
  driver_folder:
    folder: /var/lib/faasbed/driver/20261124-101500-paper-1a2b
    files: {plan.json: 0f343b0931126a20f133d67c2b018a3b1d9a5ba0b8d2f0a0bba1fc7d2a5c2f0e}
"""
RETURN = r"""
missing: {description: The names of the files that are not there as they should be., type: list, returned: always}
"""


def main() -> None:
    """Run as Ansible's module."""
    module = AnsibleModule(
        argument_spec={"folder": {"type": "path", "required": True}, "files": {"type": "dict", "required": True}},
        supports_check_mode=True,
    )
    folder = Path(module.params["folder"])
    is_new = not (folder / "raw").is_dir()
    if is_new and not module.check_mode:
        (folder / "raw").mkdir(mode=0o755, parents=True)
    missing = [
        name
        for name, sha256 in module.params["files"].items()
        if not (folder / name).is_file() or sha256_of(folder / name) != sha256
    ]
    module.exit_json(changed=is_new, missing=missing)


if __name__ == "__main__":
    main()
