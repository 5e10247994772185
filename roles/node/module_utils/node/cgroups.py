"""Control groups (cgroups(7)), version 1 or 2."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ansible.module_utils.node.change import Change
from ansible.module_utils.node.errors import NodeError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

LOOK_S = 0.02
ROOT = Path("/sys/fs/cgroup")
PERIOD_US = 100_000
REMOVE_S = 5.0
ENTER = 'for door in $1; do echo $$ >"$door" || exit; done; shift; exec "$@"'


@dataclass(frozen=True)
class Limits:
    """What the processes of a control group have at most; None is all that there is."""

    cpus: float | None = None
    memory_mib: int | None = None


class Groups:
    """The control groups below one of their own, which carries the node's name; each has the name of its service.

    Args:
        parent: the name of the group that they are in.
        limits: what each has at most, by name.
        root: where control groups are mounted.

    Raises:
        NodeError: the kernel offers no such limits here, or nobody may set them.
    """

    def __init__(self, parent: str, limits: Mapping[str, Limits], root: Path = ROOT) -> None:
        self.parent = parent
        self.limits = limits
        self.root = root
        self.controllers = sorted(
            {"cpu" for one in limits.values() if one.cpus is not None}
            | {"memory" for one in limits.values() if one.memory_mib is not None}
        )
        lacking = [name for name in self.controllers if self._top(name) is None]
        if lacking:
            raise NodeError(
                f"no control groups with {' and '.join(lacking)} below {root}, which resources of a scenario need: enable "
                "these controllers in the kernel of this machine, or leave resources out"
            )
        for name in self.controllers:
            self._check(name)

    def _check(self, controller: str) -> None:
        """Refuse a hierarchy in which no group can be made for a controller.

        Raises:
            NodeError: it is one of a container that may not change it.
        """
        top = self._top(controller)
        if top is None:
            return
        if os.statvfs(top).f_flag & os.ST_RDONLY:
            raise NodeError(
                f"the control groups below {top} are mounted read-only, so no replica can be limited by them: mount them so "
                "that they can be written (of a container, for example, with --privileged), or leave resources out"
            )
        # The kernel hands a controller on from no group with processes of its own, save the first of all (cgroups(7)).
        on = _text(top / "cgroup.subtree_control").split()
        if top == self.root and controller not in on and (top / "cgroup.type").exists() and _text(top / "cgroup.procs"):
            raise NodeError(
                f"the control group {top} has processes in it, so the kernel hands {controller} to none below it, which "
                "resources of a scenario need: start an init there that moves them to a group of their own, as systemd does, "
                "or leave resources out"
            )

    def _top(self, controller: str) -> Path | None:
        """Return where a controller's groups are: a folder of its own in version 1, the root in version 2."""
        known = self.root / "cgroup.controllers"
        if known.exists() and controller in known.read_text("ascii").split():
            return self.root
        own = self.root / controller
        return own if (own / "cgroup.procs").exists() else None

    def _settings(self, name: str) -> dict[Path, str]:
        """Return what has to stand in which file of a group."""
        limits = self.limits[name]
        settings: dict[Path, str] = {}
        if limits.cpus is not None and (top := self._top("cpu")) is not None:
            quota_us, folder = round(limits.cpus * PERIOD_US), top / self.parent / name
            if top == self.root:
                settings[folder / "cpu.max"] = f"{quota_us} {PERIOD_US}"
            else:
                settings[folder / "cpu.cfs_period_us"] = str(PERIOD_US)
                settings[folder / "cpu.cfs_quota_us"] = str(quota_us)
        if limits.memory_mib is not None and (top := self._top("memory")) is not None:
            file = "memory.max" if top == self.root else "memory.limit_in_bytes"
            settings[top / self.parent / name / file] = str(limits.memory_mib * 2**20)
        return settings

    def doors(self, name: str) -> list[Path]:
        """Return the files into which a process writes its id to be in a group."""
        return sorted({file.parent / "cgroup.procs" for file in self._settings(name)})

    def enter(self, name: str) -> list[str]:
        """Return the words before a command by which it, and all that it starts, is in a group."""
        return ["sh", "-c", ENTER, "enter", " ".join(map(str, self.doors(name)))]

    def changes(self) -> Iterator[Change]:
        """Yield what is missing of the groups and of their limits."""
        if (self.root / "cgroup.subtree_control").exists():
            for folder in (self.root, self.root / self.parent):
                on = _text(folder / "cgroup.subtree_control").split()
                if off := [one for one in self.controllers if self._top(one) == self.root and one not in on]:
                    yield Change(
                        f"hand {' and '.join(off)} to the groups in {folder.name}", partial(_hand, folder, off)
                    )
        for name in self.limits:
            for file, value in self._settings(name).items():
                if _text(file) != value:
                    yield Change(
                        f"set {file.name} of the group {self.parent}/{name} to {value}", partial(_set, file, value)
                    )

    def others(self) -> Iterator[Change]:
        """Yield the removal of groups that are of no service any more; of all of them where there are no limits."""
        wanted = {door.parent for name in self.limits for door in self.doors(name)}
        for top in self._parents():
            for folder in sorted(path for path in top.iterdir() if path.is_dir() and path not in wanted):
                yield Change(f"remove the control group {self.parent}/{folder.name}", partial(_remove, folder))
            if not any(folder.is_relative_to(top) for folder in wanted):
                yield Change(f"remove the control group {self.parent} of {top.parent.name}", partial(_remove, top))

    def _parents(self) -> list[Path]:
        tops = (self.root, self.root / "cpu", self.root / "memory")
        return [top / self.parent for top in tops if (top / self.parent).is_dir()]

    def counted(self, name: str) -> dict[str, int]:
        """Return what the kernel has counted of a group, as far as it has such a limit.

        That is how many ``periods`` it has run in, in how many it was ``throttled``, and for how many us in all; and how
        many processes the kernel ended because the group's memory was used up (``oom_kills``).
        """
        limits = self.limits[name]
        counters: dict[str, int] = {}
        for door in self.doors(name):
            words = _words(door.with_name("cpu.stat"))
            if limits.cpus is not None and "nr_periods" in words:
                stopped_us = words.get("throttled_usec") or int(words["throttled_time"]) // 1000  # version 1 has ns
                counters |= {
                    "periods": int(words["nr_periods"]),
                    "throttled": int(words["nr_throttled"]),
                    "throttled_us": int(stopped_us),
                }
            for file in ("memory.events", "memory.oom_control"):  # versions 2 and 1
                words = _words(door.with_name(file))
                if limits.memory_mib is not None and "oom_kill" in words:
                    counters["oom_kills"] = int(words["oom_kill"])
        return counters


def _words(file: Path) -> dict[str, str]:
    """Return what a file with a name and a value on each line holds."""
    return dict(line.split(maxsplit=1) for line in _text(file).splitlines())


def _text(file: Path) -> str:
    """Return what a file holds, or nothing where it is not there."""
    try:
        return file.read_text("ascii").strip()
    except FileNotFoundError:
        return ""


def _set(file: Path, value: str) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(value, "ascii")
    except OSError as error:
        raise NodeError(f"{file} cannot be set to {value}: {error.strerror}") from error


def _hand(folder: Path, controllers: list[str]) -> None:
    folder.mkdir(exist_ok=True)
    _set(folder / "cgroup.subtree_control", " ".join(f"+{name}" for name in controllers))


def _remove(folder: Path) -> None:
    if not remove_cgroup(folder, REMOVE_S):
        raise NodeError(f"the control group {folder} cannot be removed: processes are left in it (cgroup.procs)")


def remove_cgroup(top: Path, timeout_s: float) -> bool:
    """Remove a tree of control groups, the innermost first, and return whether it is gone.

    It stays where something runs in it. The kernel lets go of processes and of inner groups a moment after they ended.

    Args:
        top: its folder, which need not exist.
        timeout_s: for how long to try.
    """
    until = time.monotonic() + timeout_s
    while top.exists():
        for folder, _, _ in os.walk(top, topdown=False):
            with suppress(OSError):
                Path(folder).rmdir()
        if time.monotonic() > until:
            return False
        time.sleep(LOOK_S)
    return True
