"""What the guest in user-mode Linux does to links of the kernel's backend beside shaping them right.

Each scene returns what was seen of it; standard library and Ansible's own module code only.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import time
from typing import TYPE_CHECKING, Any

from wires import ModuleFailedError, Wires, call, link

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

TABLE_I = (15, 3, 0.24)
BOTH = [link("a", "b", *TABLE_I), link("b", "a", *TABLE_I)]
PROBES = 600
LEASE_S = 6
PATIENCE_S = 60

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
    """Measure the two ways until the right ones, by source and family, are accepted; at most four times.

    A moment at which the machine around the guest was busy passes. A wrong link has to be refused each time.
    """
    options = {"probes": PROBES, "addresses": wires.addresses(by)}
    rounds = []
    for _ in range(4):
        rounds.append([one for node in ("a", "b") for one in wires.probes(node, "judged", BOTH, **options)["links"]])
        accepted = [{(one["source"], one["family"]) for one in entries if one["ok"]} for entries in rounds]
        if accepted[-1] >= right:
            break
    return next((one for one, passed in zip(rounds, accepted, strict=True) if passed - right), rounds[-1])


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
    return seen | {"took_s": took}
