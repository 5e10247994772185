#!/usr/bin/python
"""Ansible module: make a folder hold exactly the given text files."""

from __future__ import annotations

DOCUMENTATION = r"""
module: shipped_code
short_description: Make a folder hold exactly the given text files
description:
  - Writes all files in one step of the play, where C(copy) needs one each, and removes Python files that are not given.
  - A file's time of modification follows from its text. Python and numba know a source by its time and size, so nodes
    with the same text can share what was compiled from it, and another text is never taken for it.
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
import os  # noqa: E402
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


def modified_s(text: bytes) -> int:
    """A time of modification for this text, in seconds: some time from 2001 to 2018."""
    return 978_307_200 + int.from_bytes(hashlib.sha256(text).digest()[:4], "big") % 2**29


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
            text = files[name].encode()
            partial.write_bytes(text)
            os.utime(partial, times=(modified_s(text), modified_s(text)))
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
