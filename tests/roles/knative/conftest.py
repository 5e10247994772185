"""The role's own module code can be imported as Ansible imports it."""

from __future__ import annotations

import sys
from pathlib import Path

import ansible.module_utils

ROLE = Path(__file__).resolve().parents[3] / "roles" / "knative"
ansible.module_utils.__path__.append(str(ROLE / "module_utils"))
sys.path.insert(0, str(ROLE / "library"))
