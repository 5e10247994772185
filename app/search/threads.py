"""How many cores this process may use, and that libraries do not multiply them."""

from __future__ import annotations

import functools
import os
from typing import TYPE_CHECKING, Any

from threadpoolctl import ThreadpoolController

if TYPE_CHECKING:
    from contextlib import AbstractContextManager


def cores() -> int:
    """The cores this process may run on: what ``taskset`` and cgroup cpusets leave it, not what the machine has."""
    return len(os.sched_getaffinity(0))


def one_thread_each() -> AbstractContextManager[Any]:
    """Within it, BLAS and OpenMP work in the calling thread: the threads of the folds already fill the cores."""
    limited: AbstractContextManager[Any] = _libraries().limit(limits=1)
    return limited


@functools.cache
def _libraries() -> ThreadpoolController:
    return ThreadpoolController()
