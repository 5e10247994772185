"""Runs a module of a role as Ansible would on a node."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

from testbed import ROOT

# The roles' code is where Ansible puts it when it sends a module to a node.
AS_ANSIBLE = """
import runpy, sys
from pathlib import Path
import ansible.module_utils
from ansible.module_utils import basic
roles, name, given = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
ansible.module_utils.__path__.extend(map(str, sorted(roles.glob("*/module_utils"))))
basic._ANSIBLE_ARGS, basic._ANSIBLE_PROFILE = given.encode(), "legacy"
(path,) = roles.glob(f"*/library/{name}.py")
runpy.run_path(str(path), run_name="__main__")
"""


def module(name: str, *, check: bool = False, **options: Any) -> dict[str, Any]:
    """Run a module and return its result."""
    given = json.dumps({"ANSIBLE_MODULE_ARGS": {**options, "_ansible_check_mode": check}})
    command = [sys.executable, "-c", AS_ANSIBLE, str(ROOT / "roles"), name, given]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout, done.stderr
    result: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return result
