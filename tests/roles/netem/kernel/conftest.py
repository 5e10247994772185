"""What tests of the kernel's backend may ask for. They run in a user-mode Linux (see uml/), with no other conftest.

Applying links takes seconds there, so the tests of a module share their nodes, and each applies the links that it is about.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from uml.nodes import Nodes
from wires import link

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wires import Wires


@pytest.fixture(scope="session")
def network(tmp_path_factory: pytest.TempPathFactory) -> Nodes:
    """Three nodes a, b and c on one network; they go off with the guest."""
    made = Nodes("uml", ("a", "b", "c"), tmp_path_factory.mktemp("network"))
    made.up()
    return made


@pytest.fixture(scope="module")
def wires(network: Nodes, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wires]:
    """The nodes as they are before any link, and knowing nothing of another module's tests."""
    wires = replace(network, folder=tmp_path_factory.mktemp("nodes"))
    yield wires
    for node in wires.nodes:
        if (wires.folder / node).exists():
            wires.links(node, "absent")


@pytest.fixture(scope="module")
def answering(wires: Wires) -> Iterator[None]:
    """Have the nodes answer probes by either kind of address, and a and b know what their paths do by themselves."""
    paths = [link("a", "b", 1), link("b", "a", 1), link("a", "c", 1)]
    addresses = wires.addresses("both")
    with wires.answering(wires.nodes, addresses):
        for node in ("a", "b"):
            wires.probes(node, "baseline", paths, probes=300, addresses=addresses)
        yield
