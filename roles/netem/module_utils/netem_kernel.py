"""The kernel's own way: HTB with a class per destination, and `sch_netem` as its leaf."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ansible.module_utils.netem_tc import (
    NodeError,
    Qdisc,
    in_scratch,
    lacks_netem,
    qdiscs,
    restore_arguments,
    run,
    segments,
    set_segments,
    tc,
)

if TYPE_CHECKING:
    from ansible.module_utils.netem_shaping import Shaped

ROOT = "fb00:"
PREFERENCE = {4: 64000, 6: 64500}  # of the filters; a link's own number is added
SEGMENTS_DEFAULT = 65535
AUTOMATIC = ("0:", "ffff:")  # handles of what the kernel attaches by itself, and of ingress


class Kernel:
    """Shapes an interface's egress; what matches no link passes HTB directly, unshaped."""

    name = "kernel"

    def __init__(self, interface: str) -> None:
        self.interface = interface
        # "tc utility, iproute2-6.6.0, libbpf 1.3.0"
        words = run("tc", "-V", check=False).stdout.replace(",", " ").split()
        version = next((word.removeprefix("iproute2-") for word in words if word.startswith("iproute2-")), "0")
        self.seeds = tuple(int(part) for part in version.split(".")[:2] if part.isdigit()) >= (6, 6)

    def root(self) -> Qdisc:
        """Return the qdisc at the interface's root."""
        return next(qdisc for qdisc in qdiscs(self.interface) if qdisc.parent == "root")

    def present(self) -> bool:
        """Return whether this interface is shaped by us."""
        return self.root().handle == ROOT

    def unusable(self) -> str | None:
        """Return why this backend cannot work here, or None."""
        reason = lacks_netem()
        return reason and f"this kernel has no sch_netem ({reason})"

    def check(self) -> None:
        """Refuse an interface whose present qdiscs could not be put back.

        Raises:
            NodeError: it has qdiscs with classes, or one that `tc` cannot make again from its own listing.
        """
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
        return {"root": restore, "segments": segments(self.interface)}

    def open(self, before: dict[str, Any]) -> None:
        """Attach the root, and have senders hand over segments one by one, or netem would lose 64 kB at one draw."""
        set_segments(self.interface, 1)
        tc("qdisc", "replace", "dev", self.interface, "root", "handle", ROOT, "htb", "direct_qlen", "1000")

    def close(self, before: dict[str, Any]) -> None:
        """Detach everything of ours and put back what was there before."""
        if self.present():
            tc("qdisc", "del", "dev", self.interface, "root")
            if before.get("root"):
                tc("qdisc", "add", "dev", self.interface, *before["root"])
            # What is remembered can be lost; then the kernel's default is the best guess.
            set_segments(self.interface, before.get("segments", SEGMENTS_DEFAULT))

    def add(self, shaped: Shaped) -> None:
        """Make a link: its class, its leaf, then the filters that send frames there."""
        tc(
            "class",
            "add",
            "dev",
            self.interface,
            "parent",
            ROOT,
            "classid",
            self._class(shaped),
            *shaped.link.tc_class(),
        )
        tc("qdisc", "add", *self._leaf(shaped), *shaped.link.tc_netem(seeds=self.seeds))
        for family, match, address in shaped.matches():
            tc("filter", "add", *self._filter(shaped, family), "u32", *match, address, "flowid", self._class(shaped))

    def change(self, old: Shaped, new: Shaped) -> None:
        """Give a link new values while it carries frames.

        A rate of netem's own stays when a change does not name it (sch_netem.c, netem_change), so a leaf that loses
        its rate is made anew; that drops what is on its way.
        """
        if old.link.tc_class() != new.link.tc_class():
            tc(
                "class",
                "change",
                "dev",
                self.interface,
                "parent",
                ROOT,
                "classid",
                self._class(new),
                *new.link.tc_class(),
            )
        values = new.link.tc_netem(seeds=self.seeds)
        if "rate" in old.link.tc_netem() and "rate" not in values:
            tc("qdisc", "del", *self._leaf(new))
            tc("qdisc", "add", *self._leaf(new), *values)
        else:
            tc("qdisc", "change", *self._leaf(new), *values)

    def drop(self, shaped: Shaped) -> None:
        """Take a link away: filters first, so that nothing meets a class without a leaf."""
        for family in sorted({family for family, _, _ in shaped.matches()}):
            tc("filter", "del", *self._filter(shaped, family))
        tc("class", "del", "dev", self.interface, "classid", self._class(shaped))

    def _class(self, shaped: Shaped) -> str:
        return f"{ROOT}{shaped.number:x}"

    def _leaf(self, shaped: Shaped) -> list[str]:
        return ["dev", self.interface, "parent", self._class(shaped), "handle", f"{0xFB00 + shaped.number:x}:"]

    def _filter(self, shaped: Shaped, family: int) -> list[str]:
        protocol = "ip" if family == 4 else "ipv6"
        return [
            "dev", self.interface, "parent", ROOT, "protocol", protocol,
            "pref", str(PREFERENCE[family] + shaped.number),
        ]  # fmt: skip
