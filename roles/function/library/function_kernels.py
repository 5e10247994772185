#!/usr/bin/python
"""Ansible module: compile the function's kernels on the controller, once for each code and kind of nodes."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.function.kernels import code, compiled, kind
from ansible.module_utils.node.errors import NodeError
from ansible.module_utils.node.files import read, write

DOCUMENTATION = r"""
module: function_kernels
short_description: Compile the function's kernels on the controller
description:
  - Compiles them for any processor of the controller's architecture, with the controller's Python, and keeps them in a
    folder by what they were compiled of. A second call finds them there.
options:
  root: {description: The project's folder., type: path, required: true}
  folder: {description: Where compiled kernels are kept., type: path, required: true}
  python: {description: A Python that has the function's packages., type: path, required: true}
author: [faasbed]
"""
EXAMPLES = r"""
- name: Compile the kernels
  function_kernels:
    root: "{{ playbook_dir }}/.."
    folder: "{{ lookup('env', 'HOME') }}/.cache/faasbed/compiled"
    python: "{{ ansible_playbook_python }}"
  delegate_to: localhost
"""
RETURN = r"""
kind: {description: "What they fit: architecture, and versions of Python and packages.", type: dict, returned: success}
code: {description: The code that they were compiled of., type: str, returned: success}
file: {description: The file that holds them; empty in check mode where there is none yet., type: str, returned: success}
"""


def main() -> None:
    """Run as Ansible's module."""
    module = AnsibleModule(
        argument_spec={name: {"type": "path", "required": True} for name in ("root", "folder", "python")},
        supports_check_mode=True,
    )
    root, folder, python = Path(module.params["root"]), Path(module.params["folder"]), module.params["python"]
    try:
        about = {"kind": kind(python), "code": code(root / "app")}
        word = hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:16]
        file = folder / f"{word}.json"
        folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(folder, os.O_RDONLY)
        fcntl.flock(lock, fcntl.LOCK_EX)  # until this process ends: whoever waits finds what the first one compiled
        is_there = _is_whole(file)
        if not is_there and not module.check_mode:
            text = json.dumps(compiled(root, python))
            write(file, text)
            write(file.with_suffix(".sha256"), _sha256(text))
    except (NodeError, OSError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=False, file=str(file) if file.exists() else "", **about)


def _is_whole(file: Path) -> bool:
    """Return whether a file is there as it was written: a power cut may leave less."""
    text = read(file)
    return text is not None and read(file.with_suffix(".sha256")) == _sha256(text)


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


if __name__ == "__main__":
    main()
