"""The kernel's own way: HTB with a class per destination, and `sch_netem` as its leaf."""

from __future__ import annotations

import tempfile
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ansible.module_utils.node.errors import NodeError
from ansible.module_utils.node.process import attempt

from .filters import SSH, Commands, Filters
from .tables import write_table
from .tc import (
    Qdisc,
    exists,
    in_scratch,
    lacks_netem,
    overlays,
    qdiscs,
    restore_arguments,
    segments,
    set_segments,
    tc,
    tc_batch,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from .filters import Port
    from .link import Link
    from .shaping import Shaped, Update

ROOT = "fb00:"
SEGMENTS_DEFAULT = 65535
AUTOMATIC = ("0:", "ffff:")  # handles of what the kernel attaches by itself, and of ingress
SEEDS_SINCE = (6, 6)  # iproute2's version and the kernel's


class Kernel:
    """Shapes an interface's egress; what matches no link passes HTB directly, unshaped."""

    name = "kernel"

    def __init__(self, interface: str, folder: Path) -> None:
        self.interface = interface
        self.tables = folder / "tables"
        self.filters = Filters(interface, ("parent", ROOT))

    @property
    def version(self) -> str:
        """The version of `tc`, "0" where it says none."""
        # "tc utility, iproute2-6.6.0, libbpf 1.3.0"
        words = attempt("tc", "-V").stdout.replace(",", " ").split()
        return next((word.removeprefix("iproute2-") for word in words if word.startswith("iproute2-")), "0")

    def root(self) -> Qdisc:
        """Return the qdisc at the interface's root."""
        return next(qdisc for qdisc in qdiscs(self.interface) if qdisc.parent == "root")

    def present(self) -> bool:
        """Return whether this interface is shaped by us."""
        return exists(self.interface) and self.root().handle == ROOT

    def ended(self) -> bool:
        """Return whether a process that shapes has ended: the kernel has none."""
        return False

    def unusable(self) -> str | None:
        """Return why this backend cannot work here, or None."""
        if reason := lacks_netem():
            return f"this kernel has no sch_netem ({reason})"
        root = ["qdisc", "add", "dev", "lo", "root", "handle", ROOT, "htb"]
        failed, message = tc_batch([root, *Filters("lo", ("parent", ROOT)).open((SSH,), ROOT)], scratch=True)
        return None if failed is None else f"this kernel has no {'cls_u32' if failed else 'sch_htb'} ({message})"

    def check(self, links: Sequence[Link]) -> None:
        """Refuse links that this kernel or this `tc` cannot do, and an interface whose qdiscs could not be put back.

        Raises:
            NodeError: the link and what it asks for; or the interface has qdiscs with classes, or one that `tc` cannot
                make again from its own listing.
        """
        self._try(links)
        if self.present():
            return
        root = self.root()
        others = [q for q in qdiscs(self.interface) if q.parent != "root" and q.handle not in AUTOMATIC]
        if others:
            raise NodeError(
                f"{self.interface} already has a {root.kind} with classes of its own, which removal could not put back. "
                f"Remove it (tc qdisc del dev {self.interface} root) or name another netem_interface."
            )
        if root.handle not in AUTOMATIC:
            reason = in_scratch("qdisc", "add", "dev", "lo", *restore_arguments(root))
            if reason:
                raise NodeError(
                    f"{self.interface} has a {root.kind} at its root that removal could not put back ({reason}). "
                    f"Remove it (tc qdisc del dev {self.interface} root) or name another netem_interface."
                )

    def snapshot(self) -> dict[str, Any]:
        """Return what close() needs to put back."""
        root = self.root()
        restore = None if root.handle in AUTOMATIC else restore_arguments(root)
        return {
            "root": restore,
            "segments": {name: segments(name) for name in (self.interface, *overlays(self.interface))},
        }

    def open(self, before: dict[str, Any], passing: Sequence[Port]) -> None:
        """Attach the root, and have senders hand over segments one by one, or netem would lose 64 kB at one draw."""
        for name in before["segments"]:
            set_segments(name, 1)
        root = ["qdisc", "replace", "dev", self.interface, "root", "handle", ROOT, "htb", "direct_qlen", "1000"]
        tc_batch([root, *self.filters.open(passing, ROOT)])

    def close(self, before: dict[str, Any]) -> None:
        """Detach all that is ours and put back what was there before."""
        if self.present():
            tc("qdisc", "del", "dev", self.interface, "root")
            if before.get("root"):
                tc("qdisc", "add", "dev", self.interface, *before["root"])
        if not exists(self.interface):
            return
        # What is remembered can be lost; then the kernel's default is the best guess.
        there = (self.interface, *overlays(self.interface))
        for name, count in (before.get("segments") or dict.fromkeys(there, SEGMENTS_DEFAULT)).items():
            if name in there:
                set_segments(name, count)

    def update(self, update: Update) -> int:
        """Make, change and take away links, all by one `tc`, and return when that was done."""
        commands = [
            *(command for shaped in update.gone for command in self._drop(shaped)),
            *(command for old, new in update.changed for command in self._change(old, new)),
            *(command for shaped in update.new for command in self._add(shaped)),
        ]
        self._write_tables([shaped.made for shaped in update.all], self.tables)
        tc_batch(commands, tables=str(self.tables))
        return time.monotonic_ns()

    def ready(self, update: Update) -> Callable[[], int]:
        """Return what does that."""
        return partial(self.update, update)

    def _add(self, shaped: Shaped) -> Commands:
        """Return what makes a link: its class, its leaf, then the filters that send frames there."""
        make = self._make(self.interface, shaped.made, shaped.number)
        return [*make, *self.filters.add(shaped, ["flowid", self._class(shaped.number)])]

    def _change(self, old: Shaped, new: Shaped) -> Commands:
        """Return what gives a link new values while it carries frames; those on their way keep theirs."""
        commands: Commands = []
        if old.made.tc_class() != new.made.tc_class():
            at = ["dev", self.interface, "parent", ROOT, "classid", self._class(new.number)]
            commands.append(["class", "change", *at, *new.made.tc_class()])
        leaf = self._leaf(self.interface, new.number)
        return [*commands, ["qdisc", "change", *leaf, *new.made.tc_change(old.made)]]

    def _drop(self, shaped: Shaped) -> Commands:
        """Return what takes a link away: filters first, so that nothing meets a class without a leaf."""
        away = ["class", "del", "dev", self.interface, "classid", self._class(shaped.number)]
        return [*self.filters.drop(shaped), away]

    def _try(self, links: Sequence[Link]) -> None:
        """Make the leaves on a loopback interface that ends with the trial: only the kernel knows what it can do."""
        version_text = self.version
        version = tuple(int(part) for part in version_text.split(".")[:2] if part.isdigit())
        for link in links:
            if link.seed is not None and version < SEEDS_SINCE:
                raise NodeError(
                    f"{link.path}: seed needs iproute2 6.6 on {link.source}, which has {version_text}. "
                    "Leave it out or set netem_backend: emulator."
                )
        with tempfile.TemporaryDirectory() as folder:
            self._write_tables(links, Path(folder))
            commands: Commands = [["qdisc", "add", "dev", "lo", "root", "handle", ROOT, "htb"]]
            makers: list[Link | None] = [None]
            for number, link in enumerate(links, 1):
                made = self._make("lo", link, number)
                commands += made
                makers += [link] * len(made)
            failed, output = tc_batch([*commands, ["qdisc", "show", "dev", "lo"]], scratch=True, tables=folder)
        if failed is not None:
            refused = makers[failed] if failed < len(makers) else None
            raise NodeError(
                f"{refused.path if refused else self.interface}: the kernel or tc (iproute2 {version_text}) of this node "
                f"cannot do this link: {output}. Leave out what it names or set netem_backend: emulator."
            )
        for number, link in enumerate(links, 1):
            leaf = next((line for line in output.splitlines() if f" {0xFB00 + number:x}: " in line), "")
            if link.seed is not None and f"seed {link.seed}" not in leaf:
                raise NodeError(
                    f"{link.path}: seed needs Linux 6.6 on {link.source}, whose kernel ignores it. "
                    "Leave it out or set netem_backend: emulator."
                )

    def _write_tables(self, links: Iterable[Link], folder: Path) -> None:
        for name, offsets in {one.delay.table_name: one.delay.offsets for one in links if one.delay.offsets}.items():
            write_table(name, offsets, folder)

    def _make(self, interface: str, link: Link, number: int) -> Commands:
        at = ["dev", interface, "parent", ROOT, "classid", self._class(number)]
        return [
            ["class", "add", *at, *link.tc_class()],
            ["qdisc", "add", *self._leaf(interface, number), *link.tc_netem()],
        ]

    def _class(self, number: int) -> str:
        return f"{ROOT}{number:x}"

    def _leaf(self, interface: str, number: int) -> list[str]:
        return ["dev", interface, "parent", self._class(number), "handle", f"{0xFB00 + number:x}:"]
