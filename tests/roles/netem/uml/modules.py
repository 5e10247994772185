"""Kernel modules of the guest: without kmod, and not from where modprobe looks."""

from __future__ import annotations

import ctypes
import errno
import os
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

# Numbers of system calls on x86-64; other machines have no user-mode Linux.
DELETE_MODULE, FINIT_MODULE = 176, 313
# Network namespaces are removed in the background, and with them the last use of a module.
IN_USE_S = 10


def load(*names: str) -> None:
    """Load modules, each after what it depends on.

    Raises:
        OSError: the kernel refuses one.
    """
    folder = Path("/usr/lib/uml/modules", os.uname().release)
    needs = {}
    for line in (folder / "modules.dep").read_text(encoding="ascii").splitlines():
        path, _, others = line.partition(":")
        needs[Path(path).stem] = [*reversed(others.split()), path]  # the list ends with what has to come first
    loaded = {line.split()[0] for line in Path("/proc/modules").read_text(encoding="ascii").splitlines()}
    for module in names:  # what modules.dep does not know is built in
        for path in needs.get(module, ()):
            name = Path(path).stem.replace("-", "_")
            if name not in loaded:
                descriptor = os.open(folder / path, os.O_RDONLY)
                _call(FINIT_MODULE, f"cannot load {path}", descriptor, b"", 0)
                os.close(descriptor)
                loaded.add(name)


@contextmanager
def without(name: str) -> Iterator[None]:
    """Unload a module that nothing depends on, and load it again afterwards."""
    until = time.monotonic() + IN_USE_S
    while True:
        try:
            _call(DELETE_MODULE, f"cannot unload {name}", name.encode(), os.O_NONBLOCK)
        except OSError as error:
            if error.errno != errno.EWOULDBLOCK or time.monotonic() > until:
                raise
            time.sleep(0.02)
        else:
            break
    try:
        yield
    finally:
        load(name)


def _call(number: int, failure: str, *arguments: int | bytes) -> None:
    if ctypes.CDLL(None, use_errno=True).syscall(number, *arguments):
        raise OSError(ctypes.get_errno(), failure)
