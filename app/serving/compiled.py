"""The compiled kernels: shipped by the image, or compiled by the first replica of those that share a folder."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, MutableMapping


def unpack(environment: MutableMapping[str, str]) -> None:
    """Copy the folder FUNCTION_COMPILED, where there is one, to a temporary folder and name that NUMBA_CACHE_DIR.

    To be called before numba is imported. numba uses no folder that it cannot write, and the image's file system is
    read-only; what it finds in a folder it need not compile, and what it compiles all the same it may keep there. The
    kernels fit any processor of the architecture: the image also sets NUMBA_CPU_NAME and NUMBA_CPU_FEATURES.
    """
    shipped = environment.get("FUNCTION_COMPILED")
    if shipped:
        folder = Path(tempfile.mkdtemp(prefix="function-"))
        environment["NUMBA_CACHE_DIR"] = str(shutil.copytree(shipped, folder / "compiled"))


@contextmanager
def compiling_alone(environment: Mapping[str, str]) -> Iterator[None]:
    """Within it no other process compiles into NUMBA_CACHE_DIR: whoever waits finds there what the first one compiled.

    The lock is the folder's own and ends with its process. A folder that is not named, or cannot be made, is not
    shared: then nobody waits.
    """
    folder = environment.get("NUMBA_CACHE_DIR")
    try:
        if not folder:
            raise FileNotFoundError
        Path(folder).mkdir(parents=True, exist_ok=True)
        handle = os.open(folder, os.O_RDONLY)
    except OSError:
        yield
        return
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
