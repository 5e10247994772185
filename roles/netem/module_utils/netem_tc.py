"""The programs and files through which a node's kernel is asked and told: `tc`, sysfs, the offload ioctls."""

from __future__ import annotations

import array
import fcntl
import re
import shutil
import socket
import struct
import subprocess
from typing import NamedTuple

SIOCETHTOOL = 0x8946
# ETHTOOL_G*/S* of linux/ethtool.h. ethtool itself is often not installed.
OFFLOADS = {"tso": (0x1E, 0x1F), "gso": (0x23, 0x24)}


class NodeError(RuntimeError):
    """Something on this node is not as it has to be: one or two sentences, with what to do."""


def run(*command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run a program and return what it said; with check, raise NodeError with its own words when it fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if check and done.returncode:
        said = " ".join((done.stderr or done.stdout).split())
        raise NodeError(f"`{' '.join(command)}` failed: {said}")
    return done


def tc(*arguments: str) -> str:
    """Run `tc` and return its output."""
    return run("tc", *arguments).stdout


class Qdisc(NamedTuple):
    """One line of `tc qdisc show`."""

    kind: str
    handle: str
    parent: str
    options: tuple[str, ...]


def qdiscs(interface: str) -> list[Qdisc]:
    """Return the queueing disciplines of an interface, as `tc qdisc show` lists them."""
    found = []
    for line in tc("qdisc", "show", "dev", interface).splitlines():
        words = line.split()
        if len(words) < 4 or words[0] != "qdisc":  # noqa: PLR2004
            continue
        kind, handle, rest = words[1], words[2], words[3:]
        parent, rest = ("root", rest[1:]) if rest[0] == "root" else (rest[1], rest[2:])
        if rest[:1] == ["refcnt"]:
            rest = rest[2:]
        found.append(Qdisc(kind, handle, parent, tuple(rest)))
    return found


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
    parts = [shown, tc("class", "show", "dev", interface)]
    parts.append(tc("filter", "show", "dev", interface))
    if any(qdisc.kind == "clsact" for qdisc in qdiscs(interface)):
        parts.append(tc("filter", "show", "dev", interface, "egress"))
    return "".join(parts)


def in_scratch(*arguments: str) -> str | None:
    """Try `tc` on the loopback interface of a network namespace that ends with the trial.

    Returns:
        None when it worked, else what `tc` said: the node itself is not touched either way.
    """
    done = run("unshare", "--net", "tc", *arguments, check=False)
    return None if done.returncode == 0 else " ".join((done.stderr or done.stdout).split()) or "no reason given"


def lacks_netem() -> str | None:
    """Return why this kernel cannot do `sch_netem`, or None when it can (its module is loaded by asking for it)."""
    if shutil.which("modprobe"):
        run("modprobe", "--quiet", "sch_netem", check=False)
    return in_scratch("qdisc", "add", "dev", "lo", "root", "netem", "delay", "1ms", "0.1ms", "distribution", "normal")


def offloads(interface: str) -> dict[str, bool]:
    """Return which segmentation offloads of an interface are on; an interface that does not say has none to name."""
    found = {}
    for name, (get, _) in OFFLOADS.items():
        value = _ethtool(interface, get, 0)
        if value is not None:
            found[name] = bool(value)
    return found


def set_offloads(interface: str, wanted: dict[str, bool]) -> None:
    """Turn segmentation offloads on or off."""
    for name, on in wanted.items():
        if _ethtool(interface, OFFLOADS[name][1], int(on)) is None:
            raise NodeError(f"{interface}: cannot turn {name} {'on' if on else 'off'}.")


def _ethtool(interface: str, command: int, value: int) -> int | None:
    request = array.array("I", [command, value])
    pointer = struct.pack("16sP16x", interface.encode(), request.buffer_info()[0])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        try:
            fcntl.ioctl(control, SIOCETHTOOL, pointer)
        except OSError:
            return None
    return request[1]


def exists(interface: str) -> bool:
    """Return whether the node has an interface of this name."""
    # Not /sys/class/net: in a bare network namespace that may still be the host's.
    return interface in (name for _, name in socket.if_nameindex())
