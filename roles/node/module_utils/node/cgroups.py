"""Control groups (cgroups(7)), version 1 or 2."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path

LOOK_S = 0.02


def remove_cgroup(top: Path, timeout_s: float) -> bool:
    """Remove a tree of control groups, the innermost first, and return whether it is gone.

    It stays where something runs in it. The kernel lets go of processes and of inner groups a moment after they ended.

    Args:
        top: its folder, which need not exist.
        timeout_s: for how long to try.
    """
    until = time.monotonic() + timeout_s
    while top.exists():
        for folder, _, _ in os.walk(top, topdown=False):
            with suppress(OSError):
                Path(folder).rmdir()
        if time.monotonic() > until:
            return False
        time.sleep(LOOK_S)
    return True
