"""The emulator, for kernels without `sch_netem`: one process a link, fed by a redirection at the interface's egress."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ansible.module_utils.node.errors import NodeError
from ansible.module_utils.node.process import end, on_this_node

from .filters import SSH, Filters, preferences, tables
from .tc import exists, qdiscs, tc, tc_batch

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from .filters import Port
    from .link import Link
    from .shaping import Shaped

UNSHAPED = "1:1"  # a match without an action lets a frame pass; the class means nothing here
START_SECONDS = 10.0
END_SECONDS = 5.0
EMULATORS = "emulator processes"
LOG_LINES = 5
COUNT_SECONDS = 1.0


def link_file(folder: Path, interface: str, target: str) -> Path:
    """Return the file that a link's process reads; its counters and its log lie beside it."""
    return folder / f"{interface}-{target}.json"


def read_counters(folder: Path, interface: str, target: str) -> dict[str, Any]:
    """Return what a link's process counted so far; empty when it never ran."""
    try:
        counters: dict[str, Any] = json.loads(link_file(folder, interface, target).with_suffix(".status").read_text())
    except (OSError, ValueError):  # not there yet, or caught in the middle of being written
        return {}
    return counters


def counted(folder: Path, interface: str, target: str, frames: int) -> dict[str, Any]:
    """Return the counters once so many frames came in, or what they are when that takes too long: they lag by 0.1 s."""
    deadline = time.monotonic() + COUNT_SECONDS
    while (seen := read_counters(folder, interface, target)).get("in", 0) < frames and time.monotonic() < deadline:
        time.sleep(0.01)
    return seen


class Emulator:
    """Redirects what leaves an interface for a link's target to the link's process."""

    name = "emulator"

    def __init__(self, interface: str, program: str, folder: Path) -> None:
        self.interface = interface
        self.program = program
        self.folder = folder
        self.filters = Filters(interface, ("egress",))

    def present(self) -> bool:
        """Return whether one of our filters or processes is on this node."""
        return bool(preferences(self._listing()) or self.processes())

    def unusable(self) -> str | None:
        """Return why this backend cannot work here, or None."""
        try:
            os.close(os.open("/dev/net/tun", os.O_RDWR))
        except OSError as error:
            return f"/dev/net/tun cannot be opened ({error.strerror}: load the module tun, or give the container the device)"
        trial = Filters("lo", ("egress",))
        redirection = ["action", "mirred", "egress", "redirect", "dev", "lo"]
        commands = [["qdisc", "add", "dev", "lo", "clsact"], *trial.open((SSH,), UNSHAPED), trial.any(redirection)]
        failed, message = tc_batch(commands, scratch=True)
        if failed is None:
            return None
        lacking = "clsact" if failed == 0 else "act_mirred" if failed == len(commands) - 1 else "cls_u32"
        return f"this kernel has no {lacking} ({message})"

    def check(self, links: Sequence[Link]) -> None:
        """Refuse nothing: it does all that a link can ask for, and shares a clsact that is already there."""

    def snapshot(self) -> dict[str, Any]:
        """Return what close() needs to put back."""
        return {"clsact": any(qdisc.kind == "clsact" for qdisc in qdiscs(self.interface))}

    def open(self, before: dict[str, Any], passing: Sequence[Port]) -> None:
        """Attach the hook for the filters, unless somebody else did."""
        if not before["clsact"]:
            tc("qdisc", "add", "dev", self.interface, "clsact")
        tc_batch(self.filters.open(passing, UNSHAPED))

    def close(self, before: dict[str, Any]) -> None:
        """Take away filters, hook, processes and files; it works on what the node has, not on what was planned."""
        filters = preferences(self._listing())
        tc_batch(self.filters.unhook(filters))
        hooked = self._hooked()
        if hooked and not before.get("clsact", bool(self._others())):
            tc("qdisc", "del", "dev", self.interface, "clsact")
        elif hooked and filters:
            self._take_tables_away(preferences(self._listing()))
        end(self.processes().values(), EMULATORS)
        for path in self.folder.glob(f"{self.interface}-*"):
            path.unlink()

    def add(self, shaped: Shaped) -> None:
        """Start a link's process and, when its TAP is up, send the frames there."""
        path = self._path(shaped)
        text = self._write(shaped)
        log = path.with_suffix(".log")
        with log.open("w") as output:
            process = subprocess.Popen(
                [sys.executable, self.program, str(path)],
                stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True, cwd="/",
            )  # fmt: skip
        deadline = time.monotonic() + START_SECONDS
        while (seen := self.counters(shaped)).get("pid") != process.pid or seen["values"] != text:
            if process.poll() is not None or time.monotonic() > deadline:
                # Clearing the links removes the log: what it says goes with the error.
                lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
                last = " / ".join(lines[-LOG_LINES:]) or "it printed nothing"
                raise NodeError(f"{shaped.link.path}: the emulator did not start: {last}.")
            time.sleep(0.01)
        redirection = ["action", "mirred", "egress", "redirect", "dev", shaped.link.tap]
        tc_batch(self.filters.add(shaped, redirection))

    def change(self, old: Shaped, new: Shaped) -> None:
        """Give a link new values while it carries frames; those on their way keep theirs."""
        text = self._write(new)
        path = self._path(new)
        os.kill(self.processes()[str(path)], signal.SIGHUP)
        deadline = time.monotonic() + START_SECONDS
        while self.counters(new).get("values") != text:
            if time.monotonic() > deadline:
                raise NodeError(f"{new.link.path}: the emulator did not take the new values (see {path}).")
            time.sleep(0.01)

    def drop(self, shaped: Shaped) -> None:
        """Take a link away: filters first, so that its traffic is never without a way."""
        tc_batch(self.filters.drop(shaped))
        path = self._path(shaped)
        end([pid for link, pid in self.processes().items() if link == str(path)], EMULATORS)
        for suffix in (".json", ".status", ".log"):
            path.with_suffix(suffix).unlink(missing_ok=True)

    def counters(self, shaped: Shaped) -> dict[str, Any]:
        """Return what the link's process counted so far; empty when it never ran."""
        return read_counters(self.folder, self.interface, shaped.link.target)

    def processes(self) -> dict[str, int]:
        """Return the pid of each link's process on this interface, by the file that it was started with."""
        return {
            words[words.index(self.program) + 1]: pid
            for pid, _, words in on_this_node()
            if self.program in words[:-1]
            and Path(words[words.index(self.program) + 1]).name.startswith(f"{self.interface}-")
        }

    def ended(self, links: Iterable[Shaped]) -> list[str]:
        """Return the targets of those links whose process has ended."""
        running = self.processes()
        return [shaped.link.target for shaped in links if str(self._path(shaped)) not in running]

    def _hooked(self) -> bool:
        return exists(self.interface) and any(qdisc.kind == "clsact" for qdisc in qdiscs(self.interface))

    def _listing(self) -> str:
        if not self._hooked():
            return ""
        return tc("filter", "show", "dev", self.interface, "egress")

    def _others(self) -> str:
        """Return what is there of filters of somebody else."""
        return "".join(
            line for line in self._listing().splitlines() if not preferences(line) and line.startswith("filter")
        )

    def _take_tables_away(self, way: list[tuple[int, str]]) -> None:
        """Remove the hash tables, once the kernel has let go of the rules that led there (it does so behind RCU)."""
        deadline = time.monotonic() + END_SECONDS
        while True:
            try:
                for table in tables(self._listing()):
                    tc_batch([self.filters.drop_table(table, way[0])])
                break
            except NodeError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.01)
        tc_batch(self.filters.close(way))

    def _path(self, shaped: Shaped) -> Path:
        return link_file(self.folder, self.interface, shaped.link.target)

    def _write(self, shaped: Shaped) -> int:
        """Write what the link's process reads and return the check sum by which its status says that it did."""
        text = json.dumps(shaped.made.emulator(self.interface)).encode()
        self._path(shaped).write_bytes(text)
        return zlib.crc32(text)
