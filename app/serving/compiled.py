"""The compiled kernels: shipped by the image, or compiled by the first replica of those that share a folder."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, MutableMapping

PREFIX = "function-"
# Compiling takes some 15 s, on a slow node a minute.
LONGEST_WAIT_S, POLL_S = 180.0, 0.1


def unpack(environment: MutableMapping[str, str]) -> None:
    """Copy the folder FUNCTION_COMPILED, where there is one, to a temporary folder and name that NUMBA_CACHE_DIR.

    To be called before numba is imported. numba uses no folder that it cannot write, and the image's file system is
    read-only; what it finds in a folder it need not compile, and what it compiles all the same it may keep there. The
    kernels fit any processor of the architecture: the image also sets NUMBA_CPU_NAME and NUMBA_CPU_FEATURES.
    """
    shipped = environment.get("FUNCTION_COMPILED")
    if shipped:
        _remove_copies_of_ended_replicas(Path(tempfile.gettempdir()))
        folder = Path(tempfile.mkdtemp(prefix=PREFIX))
        fcntl.flock(os.open(folder, os.O_RDONLY), fcntl.LOCK_SH)  # held until this process ends
        environment["NUMBA_CACHE_DIR"] = str(shutil.copytree(shipped, folder / "compiled"))


def _remove_copies_of_ended_replicas(folder: Path) -> None:
    """Remove the folders that nobody has locked: a container that is started again finds those of the one before."""
    for copy in folder.glob(f"{PREFIX}*"):
        with suppress(OSError):  # it is another user's, in use, or being removed by another replica
            handle = os.open(copy, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(copy)
            finally:
                os.close(handle)


@contextmanager
def compiling_alone(environment: Mapping[str, str]) -> Iterator[None]:
    """Within it no other process compiles into NUMBA_CACHE_DIR: whoever waits finds there what the first one compiled.

    The lock is the folder's own and ends with its process. A folder that is not named, or cannot be made, is not
    shared: then nobody waits. Nor does anybody wait longer than it takes to compile: then somebody else holds the lock.
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
        _wait_for_lock(handle)
        yield
    finally:
        os.close(handle)


def forget_kernels(environment: Mapping[str, str]) -> bool:
    """Empty NUMBA_CACHE_DIR, so that what is damaged there is compiled again; returns whether anything was there."""
    folder = environment.get("NUMBA_CACHE_DIR")
    entries = list(Path(folder).iterdir()) if folder and Path(folder).is_dir() else []
    for entry in entries:
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()
    return bool(entries)


def _wait_for_lock(handle: int) -> None:
    end = time.monotonic() + LONGEST_WAIT_S
    while time.monotonic() < end:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(POLL_S)
        else:
            return
