"""The dead man's switch: links that nobody renews in time clear themselves, so a lost controller cripples no node.

A lease is a deadline in a file, on the clock that runs while the machine sleeps (CLOCK_BOOTTIME). A process watches it
and, when it has passed, undoes the shaping by the same code as the role's removal. That code comes from the module
itself, which leaves a copy of it beside the lease. Where systemd runs the node, a systemd timer starts the watcher when
the lease expires, and nothing runs until then; each renewal restarts the timer.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from ansible.module_utils.node.errors import NodeError
from ansible.module_utils.node.files import write
from ansible.module_utils.node.process import attempt, run

from .left import LEASE, Left, leave_code
from .shaping import Shaping, boot

if TYPE_CHECKING:
    from collections.abc import Iterator

LOOK_SECONDS = 5.0


def boot_seconds() -> float:
    """Return how long this machine has been up, asleep or not."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


@contextlib.contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Keep modules and watcher of one folder from working at the same time.

    A folder that is not there locks nothing, nor does one that this user may not open, who is refused in words later.
    """
    try:
        held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except (FileNotFoundError, PermissionError):
        yield
        return
    try:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield
    finally:
        os.close(held)


class Lease:
    """The lease of one interface's links.

    Args:
        interface: the data interface.
        folder: where this node keeps what the role leaves on it.
        program: the emulator's path on this node.
    """

    def __init__(self, interface: str, folder: Path, program: str) -> None:
        self.interface = interface
        self.folder = folder
        self.program = program
        self.file = folder / f"{interface}.lease"
        self.note = folder / f"{interface}.lapsed"
        self.watcher = Left(LEASE, interface, folder, program, f"{interface}.watch")
        self.unit = f"faasbed-netem-{interface}"

    def lapsed(self) -> str | None:
        """Return the sentence that the watcher left when it cleared the links, or None."""
        try:
            return self.note.read_text().strip()
        except FileNotFoundError:
            return None

    def left_seconds(self) -> float | None:
        """Return the seconds until the lease expires, negative if it has; None if there is none, or one of another boot."""
        try:
            lease = json.loads(self.file.read_text())
        except (FileNotFoundError, ValueError):
            return None
        return float(lease["until_s"]) - boot_seconds() if lease["boot"] == boot() else None

    def renew(self, seconds: float) -> None:
        """Renew the lease for so many seconds, watched; 0 ends it: the links then stay until they are removed."""
        if seconds == 0:
            self.end()
            if self.folder.exists():
                leave_code(self.watcher.code)  # for whoever asks whether the links are in force
            return
        lease = {"until_s": boot_seconds() + seconds, "lease_s": seconds, "boot": boot()}
        write(self.file, json.dumps(lease))
        self.note.unlink(missing_ok=True)
        if systemd_is_here():
            self._set_timer(seconds)
        elif not self.watcher.pids():
            self.watcher.start()

    def renew_again(self) -> None:
        """Renew a lease that is there for as long as before."""
        if self.left_seconds() is not None:
            self.renew(json.loads(self.file.read_text())["lease_s"])

    def end(self) -> None:
        """End lease and watcher."""
        self.file.unlink(missing_ok=True)
        self.note.unlink(missing_ok=True)
        if systemd_is_here():
            self._stop_timer()
        self.watcher.end(f"watchers of {self.interface}'s lease")
        shutil.rmtree(self.watcher.code, ignore_errors=True)

    def lapse(self) -> None:
        """Clear the links, as removal does, and leave a sentence with the reason."""
        seconds = json.loads(self.file.read_text())["lease_s"]
        Shaping(self.interface, self.folder, self.program).clear(dry=False)
        at = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime())
        self.note.write_text(
            f"the lease of the links of {self.interface} expired at {at}: it was not renewed for {seconds:g} s, and they were "
            "cleared\n"
        )
        self.file.unlink()

    def _set_timer(self, seconds: float) -> None:
        leave_code(self.watcher.code)
        self._stop_timer()
        when = [f"--on-active={seconds:g}s", "--timer-property=AccuracySec=1s"]
        keep = ["--property=Restart=on-failure", "--property=RestartSec=1", f"--setenv=PYTHONPATH={self.watcher.code}"]
        run("systemd-run", "--quiet", "--collect", f"--unit={self.unit}", *when, *keep, *self.watcher.command)

    def _stop_timer(self) -> None:
        attempt("systemctl", "stop", f"{self.unit}.timer", f"{self.unit}.service")  # they may not be there


def systemd_is_here() -> bool:
    """Return whether systemd can start a process on this node, not on the machine that a namespace is part of."""
    return Path("/run/systemd/system").is_dir() and os.readlink("/proc/1/ns/net") == os.readlink("/proc/self/ns/net")


def watch(interface: str, folder: Path, program: str) -> None:
    """Clear the links when their lease expires; return when it has, or when there is none any more."""
    lease = Lease(interface, folder, program)
    while (left := lease.left_seconds()) is not None:
        if left > 0:
            time.sleep(min(left, LOOK_SECONDS))
            continue
        try:
            with alone(folder):
                left = lease.left_seconds()  # it may have been renewed while another held the folder
                if left is not None and left <= 0:
                    lease.lapse()
        except NodeError as error:
            print(error, flush=True)
            time.sleep(LOOK_SECONDS)


if __name__ == "__main__":
    watch(sys.argv[1], Path(sys.argv[2]), sys.argv[3])
