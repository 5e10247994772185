"""What tests of roles may ask for beside what every test may."""

from __future__ import annotations

import sys
from pathlib import Path

import ansible.module_utils
from testbed import lab

__all__ = ["lab"]

ROLES = Path(__file__).resolve().parents[2] / "roles"
# Where Ansible puts the roles' code when it sends a module to a node.
ansible.module_utils.__path__.extend(str(path) for path in sorted(ROLES.glob("*/module_utils")))
sys.path.extend(str(path) for path in sorted(ROLES.glob("*/library")))
