"""Processes that the role left on a node: recognised by their names, not by pid files, which may outlive them.

Nodes that share a machine see each other's processes; a node's own are those in its network namespace.
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

from ansible.module_utils.node.process import processes

if TYPE_CHECKING:
    from collections.abc import Iterator


def on_this_node() -> Iterator[tuple[int, str, list[str]]]:
    """Yield pid, name and command line of each process in this network namespace."""
    here = os.readlink("/proc/self/ns/net")
    for pid, folder in processes():
        with contextlib.suppress(OSError):  # it has ended meanwhile
            if os.readlink(folder / "ns" / "net") == here:
                words = (folder / "cmdline").read_bytes().decode(errors="replace").split("\0")
                yield pid, (folder / "comm").read_text().strip(), words
