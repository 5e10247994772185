#!/usr/bin/python
"""Ansible module: make a folder hold exactly the given text files."""

from __future__ import annotations

import hashlib
import json
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.node.change import Change, carry_out, outcome
from ansible.module_utils.node.files import write

if TYPE_CHECKING:
    from collections.abc import Iterator

DOCUMENTATION = r"""
module: runtime_code
short_description: Make a folder hold exactly the given text files
description:
  - Writes all files in one task, where C(copy) needs one for each, and removes Python files that are not given.
  - A file's modification time follows from its text. Python and numba identify a source file by time and size, so nodes
    with the same text can share what was compiled from it, and another text is never mistaken for it.
options:
  folder: {description: Absolute path of the folder on the node., type: path, required: true}
  files: {description: "Text by path relative to the folder.", type: dict, required: true}
author: [faasbed]
"""
EXAMPLES = r"""
- name: Copy a package of one module
  runtime_code:
    folder: /var/lib/faasbed/runtime/code
    files: {app/__init__.py: "", app/answer.py: "ANSWER = 42\n"}
"""
RETURN = r"""
checksum: {description: SHA-256 of names and texts., type: str, returned: always}
changes: {description: "What was done, or would be done.", type: list, elements: str, returned: always}
"""


def changes_to(folder: Path, files: dict[str, str]) -> Iterator[Change]:
    """Yield what differs: files with another text or missing, then Python files that are not given."""
    for name, text in sorted(files.items()):
        path = folder / name
        if not path.is_file() or path.read_bytes() != text.encode():
            yield Change(f"write {name}", partial(write, path, text, modified_s=modified_s(text.encode())))
    for path in sorted(folder.rglob("*.py")):
        if str(path.relative_to(folder)) not in files:
            yield Change(f"remove {path.relative_to(folder)}", path.unlink)


def modified_s(text: bytes) -> int:
    """Return the modification time for a text, in seconds since 1970: some time from 2001 to 2018."""
    return 978_307_200 + int.from_bytes(hashlib.sha256(text).digest()[:4], "big") % 2**29


def main() -> None:
    """Run as Ansible's module."""
    module = AnsibleModule(
        argument_spec={"folder": {"type": "path", "required": True}, "files": {"type": "dict", "required": True}},
        supports_check_mode=True,
    )
    folder, files = Path(module.params["folder"]), module.params["files"]
    changes = list(changes_to(folder, files))
    if not module.check_mode:
        carry_out(changes)
    checksum = hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()
    module.exit_json(**outcome(change.sentence for change in changes), checksum=checksum)


if __name__ == "__main__":
    main()
