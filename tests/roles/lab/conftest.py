"""The lab's own code can be imported as Ansible imports it."""

from __future__ import annotations

from pathlib import Path

import ansible.module_utils

ansible.module_utils.__path__.append(str(Path(__file__).resolve().parents[3] / "roles/lab/module_utils"))
