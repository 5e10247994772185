"""The driver's process: started in a session of its own, found again by its folder, ended with its children."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from experiments.base_station.errors import DriverError, disk_full

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from experiments.base_station.links import Links

PROGRAM = "experiments.base_station"
# How often a waiting process looks again; nothing is measured by it.
LOOK_S = 0.2
STOP_DEADLINE_S = 10


def start(
    folder: Path, base_station: str, links: Links, source: str | None = None, beats_port: int = 0, port: int = 0
) -> None:
    """Start a driver that outlives this process and its SSH connection.

    ``links`` are those that it measures over, ``source`` is the address from which requests are sent, at
    ``beats_port`` the nodes say that they are there, and by ``port`` of the first of several base stations these agree.
    """
    command = [sys.executable, "-m", PROGRAM, "run", "--folder", str(folder), "--base-station", base_station]
    command += links.arguments()
    if source:
        command += ["--source", source]
    if beats_port:
        command += ["--beats-port", str(beats_port)]
    if port:
        command += ["--port", str(port)]
    with (folder / "driver.log").open("ab") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
    try:
        (folder / "driver.pid").write_text(f"{process.pid}\n", encoding="utf-8")
    except OSError:  # the disk is full: nobody could find the driver again
        process.kill()
        process.wait()
        raise


def running(folder: Path) -> int | None:
    """Return the process id of the driver that measures in this folder, if there is one."""
    try:
        pid = int((folder / "driver.pid").read_text(encoding="utf-8"))
        command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except (OSError, ValueError):
        return None
    return pid if {str(folder).encode(), PROGRAM.encode()} <= set(command) else None


def stop(folder: Path) -> bool:
    """End the driver of this folder and its trainer; return whether there was one."""
    pid = running(folder)
    if pid is None:
        return False
    # The driver leads its session, so its trainer is in its process group.
    for ending in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(pid, ending)
        if wait(lambda: not _alive(pid), STOP_DEADLINE_S):
            break
    return True


def _alive(group: int) -> bool:
    """Return whether a process of this group runs; a zombie, which waits for its parent to look, does not."""
    for entry in Path("/proc").iterdir():
        with suppress(OSError, ValueError):
            state, _, member_of = (entry / "stat").read_text(encoding="ascii").rpartition(")")[2].split()[:3]
            if int(member_of) == group and state != "Z":
                return True
    return False


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Keep a second driver out of this folder.

    Raises:
        DriverError: another driver is measuring.
    """
    with (folder / "driver.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DriverError("another driver is measuring here; stop it first") from None
        yield


def wait(condition: Callable[[], bool], deadline_s: float) -> bool:
    """Look again until the condition holds; return whether it did before the deadline."""
    until = time.monotonic() + deadline_s
    pause = threading.Event()
    while not condition():
        if time.monotonic() > until:
            return False
        pause.wait(LOOK_S)
    return True


def last_words(folder: Path) -> str:
    """Return why a driver is gone, as far as that can be known: a full disk, or the end of its log."""
    if not shutil.disk_usage(folder).free:
        return disk_full(folder)
    log, started = folder / "driver.log", folder / "driver.pid"
    # What was written before this driver was started are the words of another one.
    if log.exists() and started.exists() and log.stat().st_mtime_ns > started.stat().st_mtime_ns:
        lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        if lines:
            return lines[-1]
    return "it was killed, for example because the memory of the base station was full"
