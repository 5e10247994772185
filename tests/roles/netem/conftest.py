"""Nodes to run the role's own module code on; and what has the tests in kernel/ run in a guest."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from uml.remote import pytest_collection_modifyitems, pytest_runtest_protocol
from wires import Wires

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["pytest_collection_modifyitems", "pytest_runtest_protocol"]


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
