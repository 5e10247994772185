"""What a node needs before a link can be shaped there: root with its capabilities, `tc`, the interface."""

from __future__ import annotations

import os
from pathlib import Path

from ansible.module_utils.node.errors import NodeError
from ansible.module_utils.node.process import which

from .tc import exists

# linux/capability.h; SYS_ADMIN because links are tried in a network namespace before this one is touched.
CAPABILITIES = {"CAP_NET_ADMIN": 12, "CAP_NET_RAW": 13, "CAP_SYS_ADMIN": 21}


def missing_capabilities(status: str) -> list[str]:
    """Return which of the capabilities that shaping needs a process lacks, by what /proc says of it."""
    words = next((line.split() for line in status.splitlines() if line.startswith("CapEff:")), ["", "0"])
    return [name for name, bit in CAPABILITIES.items() if not int(words[1], 16) >> bit & 1]


def check_node(interface: str) -> None:
    """Refuse a node on which nothing could be shaped.

    Raises:
        NodeError: not root, a root without its capabilities, no `tc`, or no interface of this name.
    """
    if os.geteuid() != 0:
        raise NodeError("shaping links needs root on the node: set ansible_become or connect as root.")
    if missing := missing_capabilities(Path("/proc/self/status").read_text()):
        raise NodeError(
            f"shaping links needs {' and '.join(missing)} on the node, which this root does not have: give the container "
            "these capabilities (podman run --cap-add)."
        )
    if which("tc") is None:
        raise NodeError("there is no tc on the node: install iproute2.")
    if not exists(interface):
        raise NodeError(
            f"there is no interface {interface!r}: set netem_interface (or the host's data_interface) to its name."
        )
