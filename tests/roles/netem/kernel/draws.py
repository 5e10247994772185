"""How many bytes netem's draws decide on."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

from patience import wait_for

if TYPE_CHECKING:
    from wires import Wires

RECEIVE = """
import socket, sys
with socket.create_server((sys.argv[1], 7000)) as server:
    taken, _ = server.accept()
    while taken.recv(1 << 16): pass
"""
SEND = "import socket, sys; socket.create_connection((sys.argv[1], 7000)).sendall(bytes(1 << 18))"


def largest_draw_bytes(wires: Wires, address: str) -> float:
    """Send from a to an address of b's by TCP and return the most bytes that one of netem's draws decides on.

    Neither its counters nor a packet socket show that (they see segments); what waits in it does, so the link's delay has
    to be long enough to be looked at.
    """
    with subprocess.Popen(wires.inside("b", sys.executable, "-c", RECEIVE, address)):
        wait_for(lambda: ":7000" in wires.run("b", "ss", "-ltn"))
        with subprocess.Popen(wires.inside("a", sys.executable, "-c", SEND, address)) as sender:
            largest = 0.0
            while sender.poll() is None:
                qdiscs = json.loads(wires.run("a", "tc", "-s", "-j", "qdisc", "show", "dev", "data0"))
                leaf = next(qdisc for qdisc in qdiscs if qdisc["handle"] == "fb01:")
                if leaf["qlen"]:
                    largest = max(largest, leaf["backlog"] / leaf["qlen"])
    return largest
