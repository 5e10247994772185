"""What a node's kernel has and does, by `tc` and `ip`."""

from __future__ import annotations

import json
import os
import re
import socket
from typing import TYPE_CHECKING, NamedTuple

from ansible.module_utils.node.errors import NodeError
from ansible.module_utils.node.process import attempt, run, search_path, which

if TYPE_CHECKING:
    from collections.abc import Sequence


def tc(*arguments: str) -> str:
    """Run `tc` and return its output."""
    return run("tc", *arguments)


def tc_batch(
    commands: Sequence[Sequence[str]], *, scratch: bool = False, tables: str | None = None
) -> tuple[int | None, str]:
    """Run several `tc` commands in one process: a node with 200 links would start a thousand.

    Args:
        commands: the arguments of each.
        scratch: in a network namespace that ends with them, where a failure is returned and not raised.
        tables: where `tc` finds distributions.

    Returns:
        The index of the command that failed, or None; and what `tc` printed.

    Raises:
        NodeError: one failed, in its own words.
    """
    if not commands:
        return None, ""
    lines = "".join(f"{' '.join(command)}\n" for command in commands)
    done = attempt(
        *(["unshare", "--net"] if scratch else []), "tc", "-batch", "-",
        text=lines, environment={**os.environ, "LC_ALL": "C", "PATH": search_path(), **({"TC_LIB_DIR": tables} if tables else {})},
    )  # fmt: skip
    if done.returncode == 0:
        return None, done.stdout
    at = re.search(r"Command failed -:(\d+)", done.stderr)
    failed = int(at.group(1)) - 1 if at else 0
    message = " ".join(re.sub(r"Command failed -:\d+", "", done.stderr or done.stdout).split())
    message = message.removeprefix("Error: ").rstrip(".") or "no reason given"
    if scratch:
        return failed, message
    raise NodeError(f"`tc {' '.join(commands[failed])}` failed: {message}.")


class Qdisc(NamedTuple):
    """One line of `tc qdisc show`."""

    kind: str
    handle: str
    parent: str
    options: tuple[str, ...]


def qdiscs(interface: str) -> list[Qdisc]:
    """Return the queueing disciplines of an interface, as `tc qdisc show` lists them."""
    listed = []
    for line in tc("qdisc", "show", "dev", interface).splitlines():
        words = line.split()
        if len(words) < 4 or words[0] != "qdisc":
            continue
        kind, handle, rest = words[1], words[2], words[3:]
        parent, rest = ("root", rest[1:]) if rest[0] == "root" else (rest[1], rest[2:])
        if rest[:1] == ["refcnt"]:
            rest = rest[2:]
        listed.append(Qdisc(kind, handle, parent, tuple(rest)))
    return listed


def restore_arguments(qdisc: Qdisc) -> list[str]:
    """Return the `tc qdisc` arguments that make a root qdisc again from its own listing.

    `tc` prints some counts with a unit that it does not read: `limit 10240p`.
    """
    options = [word[:-1] if word[-1:] == "p" and word[:-1].isdigit() else word for word in qdisc.options]
    return ["root", "handle", qdisc.handle, qdisc.kind, *options]


def dump(interface: str) -> str:
    """Return everything `tc` knows about an interface, without counters: equal dumps mean equal shaping."""
    # HTB shows how much it let through unshaped even where no statistics were asked for.
    shown = re.sub(r" direct_packets_stat \d+", "", tc("qdisc", "show", "dev", interface))
    handed = [f"gso_max_segs {segments(name)} {name}\n" for name in (interface, *overlays(interface))]
    # An emulator's interfaces have the MTU that this one had: larger frames would be lost there.
    parts = [*handed, f"mtu {mtu(interface)} {interface}\n", shown, tc("class", "show", "dev", interface)]
    parts.append(tc("filter", "show", "dev", interface))
    if any(qdisc.kind == "clsact" for qdisc in qdiscs(interface)):
        parts.append(tc("filter", "show", "dev", interface, "egress"))
    return "".join(parts)


def in_scratch(*arguments: str) -> str | None:
    """Try `tc` on the loopback interface of a network namespace that ends with the trial.

    Returns:
        None when it worked, else what `tc` printed: the node itself is not touched either way.
    """
    done = attempt("unshare", "--net", "tc", *arguments)
    return None if done.returncode == 0 else " ".join((done.stderr or done.stdout).split()) or "no reason given"


def lacks_netem() -> str | None:
    """Return why this kernel cannot do `sch_netem`, or None when it can (its module is loaded by asking for it)."""
    if which("modprobe"):
        attempt("modprobe", "--quiet", "sch_netem")
    return in_scratch("qdisc", "add", "dev", "lo", "root", "netem", "delay", "1ms", "0.1ms", "distribution", "normal")


def segments(interface: str) -> int:
    """Return how many TCP segments a sender may hand to this interface as one packet."""
    shown = json.loads(run("ip", "-details", "-json", "link", "show", "dev", interface))
    return int(shown[0]["gso_max_segs"])


def mtu(interface: str) -> int:
    """Return the largest packet that an interface sends, in bytes."""
    return int(json.loads(run("ip", "-json", "link", "show", "dev", interface))[0]["mtu"])


def set_segments(interface: str, count: int) -> None:
    """Set how many TCP segments a sender may hand to this interface as one packet.

    What netem delays and loses as one is this, not what the driver segments: since Linux 4.17 TCP builds large packets
    whether or not the interface has TSO and GSO (`sk_setup_caps`), and they are cut behind the queueing disciplines.
    """
    run("ip", "link", "set", "dev", interface, "gso_max_segs", str(count))


def overlays(interface: str) -> tuple[str, ...]:
    """Return the VXLAN interfaces above this one: pods' frames are cut into segments there or nowhere before netem."""
    shown = json.loads(run("ip", "-details", "-json", "link", "show", "type", "vxlan") or "[]")
    under = [(one.get("linkinfo", {}).get("info_data", {}).get("link"), one.get("ifname")) for one in shown]
    return tuple(sorted(name for lower, name in under if lower == interface))


def routes(interface: str) -> list[tuple[str, str]]:
    """Return which ranges this node reaches over an interface by way of whom: range and next hop, default routes left out."""
    ways = []
    for family in ("-4", "-6"):
        shown = json.loads(run("ip", family, "-json", "route", "show", "dev", interface) or "[]")
        ways += [(one["dst"], one["gateway"]) for one in shown if "gateway" in one and one["dst"] != "default"]
    return ways


def flaps(interface: str) -> int:
    """Return how often the interface lost or found its carrier."""
    shown = json.loads(run("ip", "-details", "-statistics", "-statistics", "-json", "link", "show", "dev", interface))
    return int(shown[0].get("stats64", {}).get("tx", {}).get("carrier_changes", 0))


def exists(interface: str) -> bool:
    """Return whether the node has an interface of this name."""
    # Not /sys/class/net: in a bare network namespace that may still be the host's.
    return interface in (name for _, name in socket.if_nameindex())
