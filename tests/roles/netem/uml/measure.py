"""In the guest: measures the kernel's links and sends the host the numbers.

Its argument is `draws` (the delays of each distribution) or `fidelity` (how true links are and what they cost).
"""

from __future__ import annotations

import sys
from pathlib import Path

import fidelity

from uml import init
from uml.nodes import Nodes

SECONDS = 3  # of each TCP connection


def main() -> None:
    """Make the nodes, measure, send."""
    nodes = Nodes("uml", ("a", "b", "c"), Path("/run/nodes"))
    nodes.up()
    if sys.argv[1] == "draws":
        init.send(fidelity.wide(nodes, "kernel"))
    else:
        links = fidelity.fidelity(nodes, "kernel", SECONDS)
        init.send({"links": links, "classification": fidelity.classification(nodes, "kernel")})


if __name__ == "__main__":
    init.run(main)
