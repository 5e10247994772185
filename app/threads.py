"""How many cores this process may use."""

from __future__ import annotations

import os


def cores() -> int:
    """The cores this process may run on: what ``taskset`` and cgroup cpusets leave it, not what the machine has."""
    return len(os.sched_getaffinity(0))
