"""The emulator, for kernels without `sch_netem`: a process for all links, fed by redirections at the interface's egress."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import zlib
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ansible.module_utils.node.errors import NodeError
from ansible.module_utils.node.files import write
from ansible.module_utils.node.process import end, on_this_node
from ansible.module_utils.node.source import source

from . import emulation
from .filters import SSH, Filters, preferences, tables
from .tc import exists, qdiscs, tc, tc_batch

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .filters import Port
    from .link import Link
    from .shaping import Shaped, Update

INTERFACE_NAME_MAX = 15
UNSHAPED = "1:1"  # a match without an action lets a frame pass; the class means nothing here
START_SECONDS = 10.0
END_SECONDS = 5.0
EMULATORS = "emulator processes"
LINKS = ".emulator.json"
LOG_LINES = 5
COUNT_SECONDS = 3.0


def read_counters(folder: Path, interface: str, target: str) -> dict[str, Any]:
    """Return what the emulator counted of a link so far; empty when it never ran."""
    return _status(folder / f"{interface}-{target}.status")


def _status(path: Path) -> dict[str, Any]:
    try:
        values: dict[str, Any] = json.loads(path.read_text())
    except (OSError, ValueError):  # not there yet, or caught in the middle of being written
        return {}
    return values


def counted(read: Callable[[], dict[str, Any]], frames: int) -> dict[str, Any]:
    """Return the counters once so many frames came in, or what they are when that takes too long: they lag by 0.1 s.

    Empty where they cannot be had.
    """
    deadline = time.monotonic() + COUNT_SECONDS
    seen: dict[str, Any] = {}
    while (seen := read() or seen).get("in", 0) < frames and time.monotonic() < deadline:
        time.sleep(0.01)
    return seen


class Emulator:
    """Redirects what leaves an interface for the links' targets to the interface's emulator."""

    name = "emulator"

    def __init__(self, interface: str, program: str, folder: Path) -> None:
        self.interface = interface
        self.program = program
        self.folder = folder
        self.links = folder / f"{interface}{LINKS}"
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
        end(self.processes(), EMULATORS)
        for pattern in (f"{self.interface}-*", f"{self.links.stem}.*"):
            for path in self.folder.glob(pattern):
                path.unlink()
        Path(self.program).unlink(missing_ok=True)

    def update(self, update: Update) -> int:
        """Bring filters and process to these links and return when the process took them; frames on their way keep theirs.

        Filters come last and go first, so that traffic is never without a way.
        """
        tc_batch([command for shaped in update.gone for command in self.filters.drop(shaped)])
        text = self._values(update.all)
        if pids := self.processes():
            self._take(text, pids)
        else:
            self.links.write_bytes(text)
            process = self._start()
            self._await(text, lambda: process.poll() is not None)
        kept = {shaped.link.target for shaped in update.all}
        for target in (shaped.link.target for shaped in update.gone if shaped.link.target not in kept):
            (self.folder / f"{self.interface}-{target}.status").unlink(missing_ok=True)
        redirection = ["action", "mirred", "egress", "redirect", "dev", self.tap]
        tc_batch([command for shaped in update.new for command in self.filters.add(shaped, redirection)])
        return int(_status(self._status_file)["taken_ns"])

    def ready(self, update: Update) -> Callable[[], int]:
        """Return what does that, all that can be done beforehand being done."""
        if update.gone or update.new or not (pids := self.processes()):
            return partial(self.update, update)
        text = self._values(update.all)

        def change() -> int:
            self._take(text, pids)
            return int(_status(self._status_file)["taken_ns"])

        return change

    def processes(self) -> list[int]:
        """Return the pids of this interface's emulator, and of those that another version of this role left."""
        return [
            pid
            for pid, _, words in on_this_node()
            if self.program in words[:-1]
            and Path(words[words.index(self.program) + 1]).name.startswith((f"{self.interface}-", self.links.name))
        ]

    def ended(self) -> bool:
        """Return whether the process that shapes has ended."""
        return not self.processes()

    @property
    def tap(self) -> str:
        """The TAP into which frames are redirected: the interface's name if that leaves room for ours, else its check sum."""
        name = f"fb-{self.interface}"
        return name if len(name) <= INTERFACE_NAME_MAX else f"fb-{zlib.crc32(self.interface.encode()):08x}"

    def _start(self) -> subprocess.Popen[bytes]:
        write(Path(self.program), source(emulation.__name__), 0o755)
        self._status_file.unlink(missing_ok=True)  # of one that was killed
        with self._log.open("w") as output:
            return subprocess.Popen(
                [sys.executable, self.program, str(self.links)],
                stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True, cwd="/",
            )  # fmt: skip

    def _take(self, text: bytes, pids: Sequence[int]) -> None:
        """Have the process read this, and return when it has taken it."""
        self.links.write_bytes(text)
        for pid in pids:
            os.kill(pid, signal.SIGHUP)
        self._await(text, self.ended)

    def _await(self, text: bytes, ended: Callable[[], bool]) -> None:
        """Return when the process has taken what was written for it, by the check sum that its status has."""
        deadline = time.monotonic() + START_SECONDS
        while _status(self._status_file).get("values") != zlib.crc32(text):
            if ended() or time.monotonic() > deadline:
                # Clearing the links removes the log: what it says goes with the error.
                lines = [line.strip() for line in self._log.read_text(errors="replace").splitlines() if line.strip()]
                last = " / ".join(lines[-LOG_LINES:]) or "it printed nothing"
                raise NodeError(f"the emulator of {self.interface}'s links did not take them: {last}.")
            time.sleep(0.01)

    @property
    def _status_file(self) -> Path:
        return self.links.with_suffix(".status")

    @property
    def _log(self) -> Path:
        return self.links.with_suffix(".log")

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

    def _values(self, links: Sequence[Shaped]) -> bytes:
        """Return what the process reads; the distributions that it reads once are written."""
        made = [shaped.made for shaped in links]
        for name, offsets in {
            link.delay.distribution: link.delay.offsets for link in made if link.delay.offsets
        }.items():
            if not (steps := self.links.with_suffix(f".{name}.json")).exists():
                steps.write_text(json.dumps(offsets))
        return json.dumps(
            {
                "interface": self.interface,
                "tap": self.tap,
                "links": [
                    link.emulator()
                    | {"networks": [str(one) for several in shaped.networks().values() for one in several]}
                    for shaped, link in zip(links, made, strict=True)
                ],
            }
        ).encode()
