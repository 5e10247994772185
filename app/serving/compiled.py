"""The compiled kernels: shipped by the image, or compiled by the first replica of those that share a folder."""

from __future__ import annotations

import fcntl
import logging
import os
import re
import shutil
import tempfile
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from app.serving.settings import SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, MutableMapping

log = logging.getLogger("uvicorn.error")

PREFIX = "function-"
# Compiling takes some 15 s, on a slow node a minute.
LONGEST_WAIT_S, POLL_S = 180.0, 0.1
# Where files for a while are kept beside TMPDIR, or instead where that has no room.
TEMPORARY = ("/tmp", "/dev/shm", "/var/tmp")  # noqa: S108  # a new folder of its own is made there


def unpack(environment: MutableMapping[str, str]) -> None:
    """Copy the folder FUNCTION_COMPILED, where there is one, to a temporary folder and name that NUMBA_CACHE_DIR.

    To be called before numba is imported. numba uses no folder that it cannot write, and the image's file system is
    read-only; what it finds in a folder it need not compile, and what it compiles all the same it may keep there. The
    kernels fit any processor of the architecture: the image also sets NUMBA_CPU_NAME and NUMBA_CPU_FEATURES.

    Raises:
        SettingsError: no folder for temporary files has room for them.
    """
    shipped = environment.get("FUNCTION_COMPILED")
    if not shipped:
        return
    reasons = []
    for folder in dict.fromkeys((environment.get("TMPDIR") or TEMPORARY[0], *TEMPORARY)):
        try:
            environment["NUMBA_CACHE_DIR"] = str(_copy(Path(shipped), Path(folder)))
        except OSError as error:  # it is full, or cannot be written
            reasons.append(f"{folder} ({_reason(error)})")
        else:
            return
    size_bytes = sum(path.stat().st_size for path in Path(shipped).rglob("*"))
    raise SettingsError(
        f"the compiled kernels of {shipped} ({-(-size_bytes // 2**20)} MiB) cannot be copied to {', '.join(reasons)}: "
        "free some space there, or set TMPDIR to a folder with room"
    )


def _copy(shipped: Path, folder: Path) -> Path:
    """Copy the kernels to a new folder within ``folder``, and return its name; what fails leaves nothing there."""
    _remove_copies_of_ended_replicas(folder)
    own = Path(tempfile.mkdtemp(prefix=PREFIX, dir=folder))
    handle = os.open(own, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_SH)  # held until this process ends
        return shutil.copytree(shipped, own / "compiled")
    except OSError:
        shutil.rmtree(own, ignore_errors=True)
        os.close(handle)
        raise


def _reason(error: OSError) -> str:
    """Return why a file or a folder could not be copied; of many files, the first one's reason."""
    if isinstance(error, shutil.Error) and isinstance(error.args[0], list):
        return re.sub(r"\[Errno \d+\] ", "", str(error.args[0][0][2])).partition(":")[0]
    return error.strerror or str(error)


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
        _wait_for_lock(handle, folder)
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


def _wait_for_lock(handle: int, folder: str) -> None:
    end = time.monotonic() + LONGEST_WAIT_S
    while time.monotonic() < end:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(POLL_S)
        else:
            return
    log.warning(
        "Compiling kernels though another process has locked %s for %.0f s; `lslocks` shows which",
        folder,
        LONGEST_WAIT_S,
    )
