"""What computes on a node beside its replicas, as planned: processes that do nothing else."""

from __future__ import annotations

import subprocess
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

# It ends with whoever started it, however that one ended.
COMPUTES = """
import os, sys
parent = int(sys.argv[1])
os.sched_setaffinity(0, map(int, sys.argv[2].split(",")))
while os.getppid() == parent:
    for _ in range(100_000):
        pass
"""
END_S = 5.0


class Busy:
    """Processes that only compute.

    Args:
        parent: the pid of whoever starts them.
        cores: those on which they may run.
    """

    def __init__(self, parent: int, cores: Collection[int]) -> None:
        self._words = [sys.executable, "-c", COMPUTES, str(parent), ",".join(map(str, sorted(cores)))]
        self._running: list[subprocess.Popen[bytes]] = []

    def be(self, count: int) -> None:
        """Have so many of them from now on."""
        while len(self._running) < count:
            quiet = subprocess.DEVNULL
            self._running.append(subprocess.Popen(self._words, stdin=quiet, stdout=quiet, stderr=quiet))
        ended = [self._running.pop() for _ in range(len(self._running) - count)]
        for process in ended:
            process.kill()
        for process in ended:
            with suppress(subprocess.TimeoutExpired):
                process.wait(END_S)
