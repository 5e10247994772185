"""A role's default is read from the role, and what playbooks assume is the same."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from nodes.defaults import role_default
from nodes.errors import InventoryError
from nodes.inventory import Inventory

if TYPE_CHECKING:
    from pathlib import Path

ASSUMED = re.compile(r"\b(?P<variable>(?P<role>(?!ansible_)[a-z0-9]+)_\w+) \| default\('(?P<value>[^']*)'\)")


def test_a_setting_is_the_inventorys_else_the_roles() -> None:
    inventory = Inventory("trial", {"compute": ("a", "b")}, {"b": {"function_platform": "knative"}})
    assert inventory.settings("function_platform", role="function", group="compute") == {"a": "process", "b": "knative"}
    assert inventory.setting("function_platform", role="function", group="compute") == "process"
    assert inventory.setting("lab_kind", role="lab", group="no such group") == "own"


def test_a_variable_without_a_default_is_named_with_its_role() -> None:
    with pytest.raises(InventoryError, match=r"role netem has no default for netem_nonsense; add it to roles/netem"):
        role_default("netem", "netem_nonsense")


def test_a_default_that_only_ansible_can_evaluate_is_refused() -> None:
    with pytest.raises(InventoryError, match="the default of driver_dir is a template"):
        role_default("driver", "driver_dir")


def test_playbooks_assume_the_roles_defaults(root: Path) -> None:
    assumed = {
        (match["role"], match["variable"], match["value"])
        for path in (root / "playbooks").glob("*.yml")
        for match in ASSUMED.finditer(path.read_text())
    }
    assert {variable for _, variable, _ in assumed} >= {"function_platform", "lab_kind"}
    for role, variable, value in assumed - {("lab", "lab_action", "create")}:
        assert role_default(role, variable) == value, variable
    assert role_default("lab", "lab_action") == "create"
