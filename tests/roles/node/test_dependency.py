"""A role that depends on `node` has its code in its modules, however the role is used."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ANSIBLE = Path(sys.executable).with_name("ansible-playbook")
MODULE = """#!/usr/bin/python
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.node.change import outcome
from ansible.module_utils.other.inner import greeting

if __name__ == "__main__":
    AnsibleModule(argument_spec={}).exit_json(**outcome([greeting()]))
"""
INNER = """from ansible.module_utils.node.process import run

def greeting():
    return run("echo", "hello").strip()
"""


@pytest.fixture
def role(tmp_path: Path, root: Path) -> Path:
    """A role with a module and a package of its own, beside `node` in a folder that no configuration names."""
    role = tmp_path / "elsewhere" / "other"
    files = {
        "meta/main.yml": "dependencies: [{role: node}]",
        "tasks/main.yml": "- name: Greet\n  other_greeting:\n",
        "library/other_greeting.py": MODULE,
        "module_utils/other/__init__.py": "",
        "module_utils/other/inner.py": INNER,
    }
    for name, text in files.items():
        (role / name).parent.mkdir(parents=True, exist_ok=True)
        (role / name).write_text(text)
    (role.parent / "node").symlink_to(root / "roles" / "node")
    return role


@pytest.mark.parametrize("use", ["roles", "import_role", "include_role"])
def test_a_modules_code_of_the_role_node_is_sent_with_it(role: Path, tmp_path: Path, use: str) -> None:
    play = {"hosts": "localhost", "connection": "local", "gather_facts": False}
    play |= {"roles": [{"role": str(role)}]} if use == "roles" else {"tasks": [{use: {"name": str(role)}}]}
    playbook = tmp_path / "play.yml"
    playbook.write_text(json.dumps([play]))
    done = subprocess.run([ANSIBLE, "--diff", playbook], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "+hello\n" in done.stdout
