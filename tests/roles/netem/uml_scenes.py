"""What the guest in user-mode Linux does to links of the kernel's backend beside shaping them right.

Each scene returns what was seen of it; standard library and Ansible's own module code only.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

from wires import ModuleFailedError, Wires, call, link

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

TABLE_I = (15, 3, 0.24)
BOTH = [link("a", "b", *TABLE_I), link("b", "a", *TABLE_I)]
PROBES = 400
LEASE_S = 6
PATIENCE_S = 60
CALM_S = 120
# By how much the gate may be wider, in delay and in jitter, where a wrong link is to be refused by less than 1 ms.
CALM_MS, CALM_SIGMA_MS = 0.3, 0.5

# What `tc` is to a controller that is killed in the middle of its work: the links' leaves are the last that it hears of.
DEADLY_TC = """#!/bin/sh
[ "$1" = -batch ] || exec {tc} "$@"
said=$(cat)
printf '%s\\n' "$said" | {tc} "$@"
case $said in *"dev data0"*netem*) kill -KILL $PPID ;; esac
"""


def wait_for(what: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + PATIENCE_S
    while not (found := what()):
        if time.monotonic() > deadline:
            raise AssertionError("it did not happen")
        time.sleep(0.05)
    return found


def patiently(measure: Callable[[], Any], enough: Callable[[Any], bool]) -> Any:
    """Measure until it is enough: a time at which the machine around the guest is busy passes, a wrong link stays wrong."""
    until = time.monotonic() + CALM_S
    while True:
        found = measure()
        if enough(found) or time.monotonic() > until:
            return found


def said_no(wires: Wires, **options: Any) -> str:
    """Return in which words links of node a are refused."""
    try:
        wires.links("a", **({"state": "present", "links": [link("a", "b", 5)], "backend": "kernel"} | options))
    except ModuleFailedError as error:
        return str(error)
    return ""


def refused(wires: Wires) -> dict[str, Any]:
    """Ask for what cannot be, or from where it cannot be, and return what was said; and the node before and after."""
    addresses = {node: [wires.address(node)] for node in wires.nodes}
    asked: dict[str, dict[str, Any]] = {
        "interface": {"interface": "data7"},
        "host": {"links": [link("a", "z", 5)]},
        "pair": {"links": [link("a", "b", 5), link("a", "b", 6)]},
        "address": {"addresses": addresses | {"c": [wires.address("b")]}, "links": [link("a", "b", 5), link("a", "c", 5)]},
        "loss": {"links": [link("a", "b", 5, 0, 101)]},
        "negative": {"links": [link("a", "b", -5)]},
        "jitter": {"links": [link("a", "b", 5, 1.5)]},
        "tc": {"wrapped": ["env", "PATH=/nowhere"]},
        "capability": {"wrapped": ["setpriv", "--bounding-set=-net_admin"]},
        "family": {"addresses": addresses | {"b": wires.address6("b")}},
    }  # fmt: skip
    before = wires.tc("a")
    said = {what: said_no(wires, **options) for what, options in asked.items()}
    return {"said": said, "before": before, "after": wires.tc("a"), "left": (wires.folder / "a").exists()}


def lacking(wires: Wires, load: Callable[[Iterable[str]], None]) -> dict[str, Any]:
    """Ask a kernel for links before it has what they need, which is loaded bit by bit."""
    before = wires.tc("a")
    seen: dict[str, Any] = {"netem": said_no(wires), "either": said_no(wires, backend="auto")}
    load(["sch_netem"])
    seen["htb"] = said_no(wires)
    load(["sch_htb"])
    seen["u32"] = said_no(wires)
    return {"said": seen, "before": before, "after": wires.tc("a")}


@contextlib.contextmanager
def answering(wires: Wires) -> Iterator[None]:
    """Have nodes a and b answer probes by either kind of address."""
    for node in ("a", "b"):
        wires.probes(node, "responding", seconds=600, addresses=wires.addresses("both"))
    try:
        yield
    finally:
        for node in ("a", "b"):
            wires.probes(node, "silent")


def verdicts(wires: Wires, right: set[tuple[str, int]], by: str = "IPv4") -> list[dict[str, Any]]:
    """Measure both ways until the right ones, by source and family, are accepted, on a machine calm for the wrong ones.

    A wrong link has to be refused each time.
    """
    options = {"probes": PROBES, "addresses": wires.addresses(by), "patience_s": 0}

    def measure() -> list[dict[str, Any]]:
        return [one for node in ("a", "b") for one in wires.probes(node, "judged", BOTH, **options)["links"]]

    def enough(entries: list[dict[str, Any]]) -> bool:
        accepted = {(one["link"]["source"], one["family"]) for one in entries if one["ok"]}
        wrong = [one for one in entries if (one["link"]["source"], one["family"]) not in right]
        calm = all(one["gate"]["median_ms"] < CALM_MS and one["gate"]["sigma_ms"] < CALM_SIGMA_MS for one in wrong)
        return bool(accepted - right) or (accepted == right and calm)

    entries: list[dict[str, Any]] = patiently(measure, enough)
    return entries


def wrong(wires: Wires) -> dict[str, Any]:
    """Shape the way from a wrongly, in turn, and the way from b rightly; return the gate's verdicts of both."""
    wires.links("b", "present", BOTH, backend="kernel")
    shapes = {
        "right": BOTH[0],
        "double": link("a", "b", 30, 3, 0.24),
        "steady": link("a", "b", 15, 0, 0.24),
    }
    seen: dict[str, Any] = {}
    for what, shape in shapes.items():
        wires.links("a", "present", [shape], backend="kernel")
        seen[what] = verdicts(wires, {("a", 4), ("b", 4)} if what == "right" else {("b", 4)})
    wires.links("a", "absent")
    seen["one way"] = verdicts(wires, {("b", 4)})
    seen["one way, applied"] = wires.links("a", "present", BOTH, backend="kernel", check=True)["diff"]
    wires.links("b", "absent")
    return seen


def families(wires: Wires) -> dict[str, Any]:
    """Shape nodes that have IPv6 only, then both, then lose one of them again; return the gate's verdicts."""
    seen: dict[str, Any] = {}
    for by, kinds in (("IPv6", (6,)), ("both", (4, 6))):
        for node in ("a", "b"):
            wires.links(node, "present", BOTH, backend="kernel", addresses=wires.addresses(by))
        seen[by] = verdicts(wires, {(node, kind) for node in ("a", "b") for kind in kinds}, by)
        if by == "IPv6":
            clear = wires.probes("a", "judged", [link("a", "b", 0)], probes=PROBES, addresses=wires.addresses("IPv4"))
            seen["IPv4 beside it"] = clear["links"]
    seen["again"] = wires.links("a", "present", BOTH, backend="kernel", addresses=wires.addresses("both"))["changed"]
    way = "filter del dev data0 parent fb00: protocol ipv6 pref 64003"
    wires.run("a", "tc", *way.split())
    seen["IPv4 left"] = verdicts(wires, {("a", 4), ("b", 4), ("b", 6)}, "both")
    for node in ("a", "b"):
        wires.links(node, "absent")
    return seen


def lease(wires: Wires) -> dict[str, Any]:
    """Let a controller renew its links, then kill it, at rest and half-way; return the node before and after each."""
    links = [link("a", "b", 5, 1), link("a", "c", 2)]
    folder = wires.folder / "a"
    seen: dict[str, Any] = {"before": wires.tc("a")}

    def until_s() -> float:
        return float(json.loads((folder / "data0.lease").read_text())["until_s"])

    def lapsed() -> dict[str, Any]:
        wait_for(lambda: not call("ip", "netns", "pids", f"{wires.prefix}-a"))
        said = wires.links("a", "present", links, backend="kernel", check=True)["drift"]
        return {"after": wires.tc("a"), "said": said, "left": sorted(path.name for path in folder.iterdir())}

    controller = os.fork()
    if controller == 0:
        try:
            os.setsid()
            wires.links("a", "present", links, backend="kernel", lease_s=LEASE_S)
            while True:
                wires.links("a", "renewed")
        finally:
            os._exit(1)
    wait_for((folder / "data0.lease").exists)
    wait_for(lambda: wires.tc("a").count("netem") == len(links))
    seen["shaped"] = wires.tc("a")
    first_s = until_s()
    wait_for(lambda: time.clock_gettime(time.CLOCK_BOOTTIME) > first_s + 1)
    seen["renewed"] = wires.tc("a")
    os.killpg(controller, signal.SIGKILL)
    os.waitpid(controller, 0)
    seen["killed"] = {"shaped": wires.tc("a"), **lapsed()}

    where = wires.folder / "deadly"
    where.mkdir()
    deadly = where / "tc"
    deadly.write_text(DEADLY_TC.format(tc=shutil.which("tc")))
    deadly.chmod(0o755)
    path = f"PATH={where}:{os.environ['PATH']}"
    try:
        wires.links("a", "present", links, backend="kernel", lease_s=LEASE_S, wrapped=["env", path])
    except json.JSONDecodeError:  # it was killed before it said anything
        seen["killed half-way"] = {"shaped": wires.tc("a"), **lapsed()}
    return seen


def largest_draw(wires: Wires, address: str) -> float:
    """Send from a to an address by TCP and return the most bytes that one of netem's draws decides on.

    Neither its counters nor a packet socket show that (they see segments); what waits in it does.
    """
    script = (
        "import socket\nwith socket.create_server((%r, 7000)) as s:\n c, _ = s.accept()\n while c.recv(1 << 16): pass"
    )
    sender = "import socket\ns = socket.create_connection((%r, 7000))\ns.sendall(bytes(1 << 18))"
    server = subprocess.Popen(wires.inside("b", sys.executable, "-c", script % address))
    deadline = time.monotonic() + 30
    while ":7000" not in wires.run("b", "ss", "-ltn"):
        if time.monotonic() > deadline:
            raise AssertionError("the server does not listen")
    client = subprocess.Popen(wires.inside("a", sys.executable, "-c", sender % address))
    most = 0.0
    while client.poll() is None:
        shown = json.loads(wires.run("a", "tc", "-s", "-j", "qdisc", "show", "dev", "data0"))
        leaf = next(one for one in shown if one["handle"] == "fb01:")
        if leaf["qlen"]:
            most = max(most, leaf["backlog"] / leaf["qlen"])
    server.wait(timeout=60)
    return most


def pods(wires: Wires) -> dict[str, Any]:
    """Give a and b pods as flannel does, by vxlan and by host-gw; return how long pods wait for each other over links."""
    macs = {"a": "02:00:00:00:01:0a", "b": "02:00:00:00:01:0b"}
    numbers = {"a": 1, "b": 2}
    for here, there in (("a", "b"), ("b", "a")):
        mine, theirs = numbers[here], numbers[there]
        for command in (
            f"ip link add flannel.1 type vxlan id 1 dev data0 local {wires.address(here)} dstport 8472 nolearning",
            f"ip link set flannel.1 address {macs[here]} mtu 1450 up",
            f"ip addr add 10.42.{mine}.0/32 dev flannel.1",
            f"ip neigh add 10.42.{theirs}.0 lladdr {macs[there]} dev flannel.1",
            f"bridge fdb append {macs[there]} dev flannel.1 dst {wires.address(there)}",
            f"ip route add 10.42.{theirs}.0/24 via 10.42.{theirs}.0 dev flannel.1 onlink",
            f"ip addr add 10.42.{mine}.5/32 dev lo",
            f"ip addr add 10.43.{mine}.5/32 dev lo",
        ):
            wires.run(here, *command.split())
    before = {node: wires.tc(node) for node in ("a", "b")}
    links = [link("a", "b", 400), link("b", "a", 400)]  # long enough to be looked at
    applied = {node: wires.links(node, "present", links, backend="kernel")["changed"] for node in ("a", "b")}
    seen: dict[str, Any] = {"applied": applied, "vxlan_ms": wires.connect_ms("a", "10.42.2.5", 9, "10.42.1.5")}
    seen["draw"] = largest_draw(wires, "10.42.2.5")
    for node, there in (("a", "b"), ("b", "a")):
        wires.run(node, *f"ip route add 10.43.{numbers[there]}.0/24 via {wires.address(there)} dev data0".split())
    seen["unnoticed_ms"] = wires.connect_ms("a", "10.43.2.5", 9, "10.43.1.5")
    seen["new route"] = wires.links("a", "present", links, backend="kernel", check=True)["diff"]
    again = [
        {node: wires.links(node, "present", links, backend="kernel")["changed"] for node in ("a", "b")}
        for _ in range(2)
    ]
    seen["again"] = again
    seen["host-gw_ms"] = wires.connect_ms("a", "10.43.2.5", 9, "10.43.1.5")
    for node in ("a", "b"):
        wires.links(node, "absent")
    seen["before"], seen["after"] = before, {node: wires.tc(node) for node in ("a", "b")}
    for node, there in (("a", "b"), ("b", "a")):
        wires.run(node, "ip", "link", "del", "flannel.1")
        wires.run(node, "ip", "route", "del", f"10.43.{numbers[there]}.0/24")
    return seen


def compensated(wires: Wires) -> dict[str, Any]:
    """Give the way between a and b a millisecond of its own and ask for links with that in them."""
    links = [link("a", "b", 6, 0.5), link("b", "a", 6, 0.5)]
    slow = {node: f"ip netns exec {wires.prefix}-wires tc qdisc {{}} dev p-{node} root" for node in ("a", "b")}
    seen: dict[str, Any] = {"unknown": said_no(wires, links=[link("a", "c", 6, 0.5)], compensate=True)}
    for way in slow.values():
        call(*way.format("add").split(), "netem", "delay", "2ms")
    with answering(wires):
        for node in ("a", "b"):
            wires.probes(node, "baseline", links, probes=300, addresses=wires.addresses("IPv4"))
        seen["short"] = said_no(wires, links=[link("a", "b", 1.5)], compensate=True)
        for node in ("a", "b"):
            applied = wires.links(node, "present", links, backend="kernel", compensate=True)
        seen["diff"] = applied["diff"]
        seen["again"] = wires.links("b", "present", links, backend="kernel", compensate=True)["changed"]
        options = {"probes": PROBES, "compensated": True, "patience_s": 0}
        seen["verdicts"] = patiently(
            lambda: [one for node in ("a", "b") for one in wires.probes(node, "judged", links, **options)["links"]],
            lambda entries: all(one["ok"] for one in entries),
        )
    for node, way in slow.items():
        wires.links(node, "absent")
        call(*way.format("del").split())
    return seen


def scenes(wires: Wires, load: Callable[[Iterable[str]], None], rest: Iterable[str]) -> dict[str, Any]:
    """Play them all, the first on a kernel that has nothing for links yet."""
    took: dict[str, float] = {}
    seen: dict[str, Any] = {}

    def play(name: str, scene: Callable[[], dict[str, Any]]) -> None:
        started = time.monotonic()
        seen[name] = scene()
        took[name] = time.monotonic() - started

    def judged() -> dict[str, Any]:
        with answering(wires):
            for node in ("a", "b"):
                wires.probes(node, "baseline", BOTH, probes=300, addresses=wires.addresses("both"))
            play("wrong", lambda: wrong(wires))
            play("families", lambda: families(wires))
        return {}

    play("lacking", lambda: lacking(wires, load))
    load(rest)
    play("refused", lambda: refused(wires))
    play("judged", judged)
    play("lease", lambda: lease(wires))
    play("pods", lambda: pods(wires))
    play("compensated", lambda: compensated(wires))
    return seen | {"took_s": took}
