"""Our own way, for kernels without `sch_netem`: one process a link, fed by a redirection at the interface's egress."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ansible.module_utils.netem_tc import NodeError, in_scratch, qdiscs, tc

if TYPE_CHECKING:
    from ansible.module_utils.netem_shaping import Shaped

PREFERENCE = {4: 64000, 6: 64500}  # of the filters; a link's own number is added
START_SECONDS = 10.0
END_SECONDS = 5.0


class Emulator:
    """Redirects what leaves an interface for a link's target to the link's process."""

    name = "emulator"

    def __init__(self, interface: str, program: str, folder: Path) -> None:
        self.interface = interface
        self.program = program
        self.folder = folder

    def present(self) -> bool:
        """Return whether a filter or a process of ours is on this node."""
        return bool(self._filters() or self.processes())

    def unusable(self) -> str | None:
        """Return why this backend cannot work here, or None."""
        if not Path("/dev/net/tun").exists():
            return "there is no /dev/net/tun (load the module tun, or give the container the device)"
        reason = in_scratch("qdisc", "add", "dev", "lo", "clsact")
        return reason and f"this kernel has no clsact ({reason})"

    def check(self) -> None:
        """Refuse nothing: a clsact that is already there is shared, and its filters stay."""

    def snapshot(self) -> dict[str, Any]:
        """Return what close() needs to put back."""
        return {"clsact": any(qdisc.kind == "clsact" for qdisc in qdiscs(self.interface))}

    def open(self, before: dict[str, Any]) -> None:
        """Attach the hook for the filters, unless somebody else did."""
        if not before["clsact"]:
            tc("qdisc", "add", "dev", self.interface, "clsact")

    def close(self, before: dict[str, Any]) -> None:
        """Take away filters, hook, processes and files; all of it works on what is found, not on what was planned."""
        for preference in self._filters():
            tc("filter", "del", "dev", self.interface, "egress", "pref", str(preference))
        hooked = any(qdisc.kind == "clsact" for qdisc in qdiscs(self.interface))
        if hooked and not before.get("clsact", bool(tc("filter", "show", "dev", self.interface, "egress").strip())):
            tc("qdisc", "del", "dev", self.interface, "clsact")
        self._end(self.processes())
        for path in self.folder.glob(f"{self.interface}-*"):
            path.unlink()

    def add(self, shaped: Shaped) -> None:
        """Start a link's process and, when its TAP is up, send the frames there."""
        path = self._path(shaped)
        path.write_text(json.dumps(shaped.link.emulator(self.interface)))
        log = path.with_suffix(".log")
        with log.open("w") as said:
            process = subprocess.Popen(
                [sys.executable, self.program, str(path)],
                stdin=subprocess.DEVNULL, stdout=said, stderr=said, start_new_session=True, cwd="/",
            )  # fmt: skip
        deadline = time.monotonic() + START_SECONDS
        while self.counters(shaped).get("pid") != process.pid:
            if process.poll() is not None or time.monotonic() > deadline:
                last = (log.read_text().strip() or "it said nothing").splitlines()[-1]
                raise NodeError(f"{shaped.link.path}: the emulator did not start: {last} (whole log: {log}).")
            time.sleep(0.01)
        for family, match, address in shaped.matches():
            tc(
                "filter", "add", *self._filter(shaped, family), "u32", *match, address,
                "action", "mirred", "egress", "redirect", "dev", shaped.link.tap,
            )  # fmt: skip

    def change(self, old: Shaped, new: Shaped) -> None:
        """Give a link new values while it carries frames; those on their way keep theirs."""
        if old.link.seed != new.link.seed:  # draws start with the process
            self.drop(old)
            self.add(new)
            return
        path = self._path(new)
        path.write_text(json.dumps(new.link.emulator(self.interface)))
        os.kill(self.processes()[str(path)], signal.SIGHUP)

    def drop(self, shaped: Shaped) -> None:
        """Take a link away: filters first, so that its traffic is never without a way."""
        for family in sorted({family for family, _, _ in shaped.matches()}):
            tc("filter", "del", *self._filter(shaped, family))
        path = self._path(shaped)
        self._end({link: pid for link, pid in self.processes().items() if link == str(path)})
        for suffix in (".json", ".status", ".log"):
            path.with_suffix(suffix).unlink(missing_ok=True)

    def counters(self, shaped: Shaped) -> dict[str, Any]:
        """Return what the link's process counted so far; empty when it never ran."""
        try:
            counters: dict[str, Any] = json.loads(self._path(shaped).with_suffix(".status").read_text())
        except (OSError, ValueError):  # not there yet, or caught in the middle of being written
            return {}
        return counters

    def processes(self) -> dict[str, int]:
        """Return the pid of each link's process on this interface, by the file that it was started with.

        Found by command line and network namespace: nodes that share a machine see each other's processes, under
        the same paths, and a pid file may outlive its process.
        """
        found = {}
        here = os.readlink("/proc/self/ns/net")
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                words = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
                if self.program in words and here == os.readlink(entry / "ns" / "net"):
                    link = words[words.index(self.program) + 1]
                    if Path(link).name.startswith(f"{self.interface}-"):
                        found[link] = int(entry.name)
            except (OSError, IndexError):  # it ended while we looked, or is not a link
                continue
        return found

    def _end(self, processes: dict[str, int]) -> None:
        """End processes and return when they have ended: one that is ending has no command line, but its TAP still."""
        handles: dict[int, int] = {}
        try:
            for pid in processes.values():
                with contextlib.suppress(ProcessLookupError):
                    handles[os.pidfd_open(pid)] = pid
            for number in (signal.SIGTERM, signal.SIGKILL):
                for handle in handles:
                    with contextlib.suppress(ProcessLookupError):
                        signal.pidfd_send_signal(handle, number)
                deadline = time.monotonic() + END_SECONDS
                left = set(handles)
                while left and (wait := deadline - time.monotonic()) > 0:
                    left -= set(select.select(left, [], [], wait)[0])
                if not left:
                    return
            pids = sorted(handles[handle] for handle in left)
            raise NodeError(f"emulator processes {pids} do not end: look at what they wait for.")
        finally:
            for handle in handles:
                os.close(handle)

    def _filters(self) -> list[int]:
        if not any(qdisc.kind == "clsact" for qdisc in qdiscs(self.interface)):
            return []
        words = tc("filter", "show", "dev", self.interface, "egress").split()
        numbers = {int(after) for word, after in zip(words, words[1:]) if word == "pref"}  # noqa: B905
        return sorted(n for n in numbers if PREFERENCE[4] < n < PREFERENCE[6] + 500)

    def _path(self, shaped: Shaped) -> Path:
        return self.folder / f"{self.interface}-{shaped.link.target}.json"

    def _filter(self, shaped: Shaped, family: int) -> list[str]:
        protocol = "ip" if family == 4 else "ipv6"
        return [
            "dev", self.interface, "egress", "protocol", protocol,
            "pref", str(PREFERENCE[family] + shaped.number),
        ]  # fmt: skip
