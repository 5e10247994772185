"""The defaults of the roles, read from the roles."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import yaml

from nodes.errors import InventoryError

ROLES = Path(__file__).resolve().parent.parent / "roles"


def role_default(role: str, variable: str) -> Any:
    """Return the default of a role's variable, as ``roles/<role>/defaults/main.yml`` has it.

    Raises:
        InventoryError: the role has no such default, or it is a template, which only Ansible can evaluate.
    """
    defaults = _defaults(role)
    if variable not in defaults:
        raise InventoryError(f"role {role} has no default for {variable}; add it to roles/{role}/defaults/main.yml")
    value = defaults[variable]
    if isinstance(value, str) and "{{" in value:
        raise InventoryError(
            f"role {role}: the default of {variable} is a template; expected a plain value in "
            f"roles/{role}/defaults/main.yml"
        )
    return value


@cache
def _defaults(role: str) -> dict[str, Any]:
    path = ROLES / role / "defaults" / "main.yml"
    defaults: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return defaults
