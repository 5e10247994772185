"""``python guard.py FOLDER``: ends the playbook that works with a folder when its controller is gone, killed or not.

The controller holds the other end of this process's standard input. ansible-playbook, whose parent it was, would go on
and poll its nodes for as long as its tasks last. Standard library only, so that it starts at once.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
from contextlib import suppress
from pathlib import Path


def end_playbook(folder: str) -> None:
    """End the ansible-playbook that works with a folder, its workers and what they run; daemons they started stay."""
    parents: dict[int, int] = {}
    ending: set[int] = set()
    for entry in Path("/proc").iterdir():
        with suppress(OSError, ValueError):  # no process, another user's, or it has ended
            pid = int(entry.name)
            parents[pid] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            if (
                b"ansible-playbook" in (entry / "cmdline").read_bytes()
                and folder.encode() in (entry / "environ").read_bytes()
            ):
                ending.add(pid)
    while more := {pid for pid, parent in parents.items() if parent in ending} - ending:
        ending |= more
    for pid in ending - {os.getpid()}:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def main() -> None:
    """Wait for the controller's end, or for its word that the playbook has ended."""
    folder = sys.argv[1]
    if sys.stdin.buffer.read():
        return
    end_playbook(folder)
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
