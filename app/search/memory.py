"""The memory that this process may use, and that a request which asks for more fails alone.

Without a limit of its own a process that takes more than its cgroup has is killed, with all requests that wait.
"""

from __future__ import annotations

import resource
from contextlib import suppress
from pathlib import Path

# What is left for the kernel's own memory of the cgroup: sockets, page tables, the files that are mapped.
SHARE = 0.9


def most_bytes(root: Path = Path("/")) -> int:
    """Return the least of the machine's memory and of the limits of this process's cgroups (v1 and v2)."""
    meminfo = (root / "proc/meminfo").read_text()
    limits = [int(next(line for line in meminfo.splitlines() if line.startswith("MemTotal:")).split()[1]) * 1024]
    for line in (root / "proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            top, name = root / "sys/fs/cgroup", "memory.max"
        elif "memory" in controllers.split(","):
            top, name = root / "sys/fs/cgroup/memory", "memory.limit_in_bytes"
        else:
            continue
        own = Path(path.lstrip("/"))
        # In a container the path may be that outside of it: then only the root that is seen has limits.
        for group in (own, *own.parents):
            with suppress(OSError, ValueError):  # no such file, or "max"
                limits.append(int((top / group / name).read_text()))
    return min(limits)


def limit(most: int, processes: int = 1) -> None:
    """Let this process, one of so many that share the memory, have no more than its part: beyond it is a MemoryError.

    Args:
        most: bytes that all of them may have.
        processes: how many there are.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    part = int(SHARE * most / processes)
    if hard != resource.RLIM_INFINITY:
        part = min(part, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (part, hard))
