"""The role's own module code, and nodes to run it on."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import ansible.module_utils
import pytest
from testbed import lab

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["lab", "wires"]

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
# Where Ansible puts a role's module_utils when it sends a module to a node.
ansible.module_utils.__path__.append(str(HERE.parents[2] / "roles" / "netem" / "module_utils"))

from wires import Wires  # noqa: E402


@pytest.fixture
def wires(tmp_path: Path) -> Iterator[Wires]:
    """Three nodes a, b and c on one network, without any link shaped."""
    if os.geteuid() != 0:
        pytest.skip("network namespaces need root")
    made = Wires(f"fbn{os.getpid()}", ("a", "b", "c"), tmp_path)
    try:
        made.up()
        yield made
    finally:
        for node in made.nodes:
            if (tmp_path / node).exists():
                made.links(node, "absent")
        made.down()
