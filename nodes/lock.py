"""The lock of an inventory: one run at a time on the same nodes."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout
from platformdirs import user_cache_path

from nodes.errors import LockError
from nodes.inventory import slug

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def locked(inventory: str) -> Iterator[None]:
    """Keep a second run off the nodes of an inventory.

    Raises:
        LockError: another run uses this inventory, or the lock cannot be made.
    """
    try:
        folder = user_cache_path("faasbed", ensure_exists=True)
    except OSError as error:
        raise LockError(
            f"cannot create the lock in {error.filename}: {error.strerror}; set XDG_CACHE_HOME to a writable folder"
        ) from error
    lock = FileLock(folder / f"{slug(inventory)}.lock", timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise LockError(
            f"another run is using inventory {inventory} on this machine (lock {lock.lock_file}); wait for it to end"
        ) from None
    try:
        yield
    finally:
        # While it is held: who opened the file before and locks it afterwards sees that it is gone, and begins again.
        Path(lock.lock_file).unlink(missing_ok=True)
        lock.release()
