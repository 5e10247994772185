"""The processes of this machine, as tests look for them; those that have ended and are not yet heard of are none."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Process:
    """Whose child a process is, and how it is grouped; all by process ids."""

    parent: int
    group: int
    session: int


def running() -> dict[int, Process]:
    """All that run now, by their ids."""
    found = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it has ended
            state, *numbers = entry.read_text().rpartition(")")[2].split()[:4]
            if state != "Z":
                found[int(entry.parent.name)] = Process(*map(int, numbers))
    return found


def children(parent: int) -> set[int]:
    """Those that a process has started."""
    return {pid for pid, process in running().items() if process.parent == parent}


def family(root: int) -> set[int]:
    """A process and all that came from it, however they grouped themselves."""
    processes, members = running(), {root}
    while more := {pid for pid, process in processes.items() if process.parent in members} - members:
        members |= more
    return members


def command(pid: int) -> bytes:
    """The words of its command, with zeros between them; nothing where it has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def with_words(*words: bytes) -> set[int]:
    """Those whose command has all of these words."""
    return {pid for pid in running() if all(word in command(pid) for word in words)}
