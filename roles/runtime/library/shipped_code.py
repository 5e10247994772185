#!/usr/bin/python
"""Ansible module: make a folder hold exactly the given text files."""

from __future__ import annotations

DOCUMENTATION = r"""
module: shipped_code
short_description: Make a folder hold exactly the given text files
description:
  - Writes all files in one step of the play, where C(copy) needs one each, and removes Python files that are not given.
options:
  folder: {description: Absolute path of the folder on the node., type: path, required: true}
  files: {description: "Text by path relative to the folder.", type: dict, required: true}
author: [faasbed]
"""

RETURN = r"""
checksum: {description: SHA-256 over names and texts., type: str, returned: always}
"""

import hashlib  # noqa: E402
import json  # noqa: E402
from pathlib import Path  # noqa: E402

from ansible.module_utils.basic import AnsibleModule  # noqa: E402


def differences(folder: Path, files: dict[str, str]) -> tuple[list[str], list[Path]]:
    """Return which files have another text (or none) on the node, and which Python files there are beyond."""
    changed = []
    for name, text in files.items():
        path = folder / name
        if not path.is_file() or path.read_bytes() != text.encode():
            changed.append(name)
    surplus = [path for path in folder.rglob("*.py") if str(path.relative_to(folder)) not in files]
    return sorted(changed), sorted(surplus)


def main() -> None:
    """Run as Ansible's module."""
    module = AnsibleModule(
        argument_spec={"folder": {"type": "path", "required": True}, "files": {"type": "dict", "required": True}},
        supports_check_mode=True,
    )
    folder, files = Path(module.params["folder"]), module.params["files"]
    changed, surplus = differences(folder, files)
    if not module.check_mode:
        for name in changed:
            path = folder / name
            path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            partial = path.with_name(path.name + ".partial")
            partial.write_bytes(files[name].encode())
            partial.replace(path)
        for path in surplus:
            path.unlink()
    lines = [f"write {name}" for name in changed] + [f"remove {path.relative_to(folder)}" for path in surplus]
    module.exit_json(
        changed=bool(lines),
        checksum=hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest(),
        diff={"before": "", "after": "".join(f"{line}\n" for line in lines)},
    )


if __name__ == "__main__":
    main()
