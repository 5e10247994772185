"""Who installs packages on this node at the moment: apt and dpkg let one program do so at a time."""

from __future__ import annotations

import fcntl
import os
import struct
from pathlib import Path

# What apt-get and unattended upgrades hold while they work, and what dpkg holds.
LOCKS = (Path("/var/lib/dpkg/lock-frontend"), Path("/var/lib/dpkg/lock"))
# struct flock of fcntl(2) on a 64-bit machine: type, whence, start, length, pid.
FLOCK = struct.Struct("hhqqi4x")


def installer() -> str | None:
    """Return which other process installs packages now, as a user would look for it; None where none does."""
    for lock in LOCKS:
        try:
            opened = os.open(lock, os.O_RDWR)
        except OSError:  # no dpkg here, or not for this user
            continue
        try:
            asked = FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
            kind, *_, pid = FLOCK.unpack(fcntl.fcntl(opened, fcntl.F_GETLK, asked))
        finally:
            os.close(opened)
        if kind != fcntl.F_UNLCK:
            return f"process {pid} ({_command(pid)})"
    return None


def _command(pid: int) -> str:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return "of another namespace"
    return " ".join(words.split())[:80] or "it has ended"
