"""The links, with the nodes of roles/netem's tests and the role's own code, which are made importable here."""

from __future__ import annotations

import sys
from pathlib import Path

import ansible.module_utils

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "roles" / "netem"))
# Where Ansible puts a role's module_utils when it sends a module to a node.
ansible.module_utils.__path__.append(str(ROOT / "roles" / "netem" / "module_utils"))
