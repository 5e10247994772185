"""Processes that the role left on a node: found by what they are called, not by pid files, which may outlive them.

Nodes that share a machine see each other's processes; a node's own are those in its network namespace.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

from .tc import NodeError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

END_SECONDS = 5.0


def on_this_node() -> Iterator[tuple[int, str, list[str]]]:
    """Yield pid, name and command line of each process in this network namespace."""
    here = os.readlink("/proc/self/ns/net")
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):  # it ended while we looked
                if os.readlink(entry / "ns" / "net") == here:
                    words = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
                    yield int(entry.name), (entry / "comm").read_text().strip(), words


def end(pids: Iterable[int], what: str) -> None:
    """End processes and return when they have ended: one that is ending still holds its TAP or its port.

    Raises:
        NodeError: one does not end.
    """
    handles: dict[int, int] = {}
    try:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                handles[os.pidfd_open(pid)] = pid
        left = set(handles)
        for number in (signal.SIGTERM, signal.SIGKILL):
            for handle in left:
                with contextlib.suppress(ProcessLookupError):
                    signal.pidfd_send_signal(handle, number)
            deadline = time.monotonic() + END_SECONDS
            while left and (wait := deadline - time.monotonic()) > 0:
                left -= set(select.select(left, [], [], wait)[0])
            if not left:
                return
        raise NodeError(f"{what} {sorted(handles[handle] for handle in left)} do not end: look at what they wait for.")
    finally:
        for handle in handles:
            os.close(handle)
