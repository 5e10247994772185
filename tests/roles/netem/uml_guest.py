"""PID 1 of a user-mode Linux: shapes links with the kernel's own netem and prints one JSON object of what it saw."""

from __future__ import annotations

import ctypes
import json
import os
import sys
import termios
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).resolve().parent))
from fidelity import classification, fidelity, wide
from uml import MARK
from uml_nodes import Nodes
from uml_scenes import largest_draw, patiently, scenes
from wires import ModuleFailedError, call, link

if TYPE_CHECKING:
    from collections.abc import Iterable

    from wires import Wires

NETWORK = ("bridge", "veth", "vxlan")
SHAPING = ("sch_htb", "sch_netem", "sch_ingress", "sch_tbf", "cls_u32", "act_mirred")
FINIT_MODULE = 313  # x86-64; other machines have no user-mode Linux
POWER_OFF = 0x4321FEDC
# Its timers are coarse and its one CPU is the host's: wake-ups alone move a delay by some 0.1 ms.
COARSE_MS, COARSE_SHARE = 0.35, 0.06
COARSE_SIGMA_MS, COARSE_SIGMA_SHARE = 0.1, 0.15


def prepare() -> None:
    os.environ["PATH"] = "/usr/sbin:/usr/bin:/sbin:/bin"
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    os.environ["TMPDIR"] = "/run"  # and nothing over /tmp: the checkout may lie there
    for kind, where in (("proc", "/proc"), ("sysfs", "/sys"), ("tmpfs", "/run")):
        call("mount", "-t", kind, kind, where)
    # Beyond this many pages TCP keeps every window at four segments; by itself a guest so small has 32 MB of them.
    Path("/proc/sys/net/ipv4/tcp_mem").write_text("65536 65536 98304")
    load_modules(NETWORK)
    call("ip", "link", "set", "lo", "up")


def load_modules(modules: Iterable[str]) -> None:
    """Load modules, each after what it depends on: without kmod, and not from where modprobe looks."""
    libc = ctypes.CDLL(None, use_errno=True)
    folder = Path("/usr/lib/uml/modules", os.uname().release)
    needs = {}
    for line in (folder / "modules.dep").read_text().splitlines():
        path, _, others = line.partition(":")
        needs[Path(path).stem] = [*reversed(others.split()), path]  # the list ends with what has to come first
    loaded = {line.split()[0] for line in Path("/proc/modules").read_text().splitlines()}
    for module in modules:  # what modules.dep does not know is built in
        for path in needs.get(module, ()):
            name = Path(path).stem.replace("-", "_")
            if name not in loaded:
                descriptor = os.open(folder / path, os.O_RDONLY)
                if libc.syscall(FINIT_MODULE, descriptor, b"", 0):
                    raise OSError(ctypes.get_errno(), f"cannot load {path}")
                os.close(descriptor)
                loaded.add(name)


def off(entry: dict[str, Any]) -> str | None:
    """Return how a link's entry differs from what was asked for, beyond what the guest's clockwork explains."""
    late_ms = abs(entry["delay"]["median_ms"] - entry["expected"]["median_ms"])
    if late_ms > COARSE_MS + COARSE_SHARE * entry["link"]["delay_ms"]:
        return f"median {entry['delay']['median_ms']} ms: {entry['sentence']}"
    wide_ms = abs(entry["delay"]["quartile_sigma_ms"] - entry["expected"]["sigma_ms"])
    if wide_ms > COARSE_SIGMA_MS + COARSE_SIGMA_SHARE * entry["expected"]["sigma_ms"]:
        return f"sigma {entry['delay']['quartile_sigma_ms']} ms: {entry['sentence']}"
    return None


def settled(wires: Wires, links: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Measure the links until they are what they should be."""
    entries: list[dict[str, Any]] = patiently(
        lambda: wires.verdicts(links, probes=500, patience_s=0), lambda found: not any(off(entry) for entry in found)
    )
    return entries


def look(wires: Wires) -> dict[str, Any]:
    seen: dict[str, Any] = {}
    both = [link("a", "b", 15, 3, 0.24), link("b", "a", 15, 3, 0.24), link("a", "c", 1.25, 0.25)]
    seen["before"] = wires.tc("a")
    wires.baseline([link("a", "b", 1), link("b", "a", 1), link("a", "c", 1)])
    applied = wires.links("a", "present", both)
    wires.links("b", "present", both)
    seen["backend"] = applied["backend"]
    seen["shaped"] = wires.tc("a")
    seen["again"] = wires.links("a", "present", both)["changed"]
    seen["verdicts"] = settled(wires, both)
    changed = [*both[:2], link("a", "c", 2.5, 0.25, 1, reorder=False)]
    seen["check"] = wires.links("a", "present", changed, check=True)["diff"]
    seen["change"] = wires.links("a", "present", changed)["changed"]
    seen["changed"] = wires.tc("a")
    seen["ordered"] = wires.verdicts([changed[2]], probes=500)
    seen["lied"] = wires.verdicts([both[2]], probes=300)
    full: dict[str, Any] = {
        "gilbert_elliott": {"enter_percent": 1, "leave_percent": 9},
        "duplicate_percent": 2,
        "corrupt_percent": 3,
    }
    full |= {"distribution": "pareto", "rate_mbit": 20, "reorder": False}
    wires.links("a", "present", [link("a", "b", 15, 3, **full)])
    seen["full"] = wires.tc("a")
    wires.links("a", "present", [link("a", "b", 15, 3, distribution="uniform")])
    seen["plain"] = wires.tc("a")
    try:
        wires.links("a", "present", [link("a", "b", 15, seed=7)])
    except ModuleFailedError as error:
        seen["seed"] = str(error)
    for node in ("a", "b"):
        wires.links(node, "present", [link("a", "b", 50), link("b", "a", 50)])
    seen["management_ms"] = {
        port: min(wires.connect_ms("a", wires.address("b"), port) for _ in range(10)) for port in (9, 22)
    }
    wires.links("b", "absent")
    wires.links("a", "present", both)
    seen["drift"] = {"none": wires.links("a", "present", both, check=True)["drift"]}
    wires.run("a", "ip", "link", "set", "data0", "gso_max_segs", "64")
    seen["drift"]["gso"] = wires.links("a", "present", both, check=True)["drift"]
    wires.links("a", "present", both)
    another = "qdisc change dev data0 parent fb00:1 handle fb01: netem delay 30ms"
    wires.run("a", "tc", *another.split())
    seen["drift"]["leaf"] = wires.links("a", "present", both, check=True)["drift"]
    wires.links("a", "present", both)
    wires.run("a", "tc", "qdisc", "del", "dev", "data0", "root")
    seen["drift"]["root"] = wires.links("a", "present", both, check=True)["drift"]
    wires.links("a", "present", both)
    seen["drift"]["mended"] = wires.links("a", "present", both, check=True)["drift"]
    wires.links("a", "absent")
    wires.links("b", "absent")
    seen["wide"] = wide(wires, "kernel")
    wires.links("a", "present", [link("a", "b", 400)])  # long enough to be looked at
    seen["largest_draw"] = largest_draw(wires, wires.address("b"))
    wires.run("a", "ip", "link", "set", "data0", "gso_max_segs", "64")
    seen["largest_draw_by_gso"] = largest_draw(wires, wires.address("b"))
    seen["removed"] = wires.links("a", "absent")["changed"]
    seen["after"] = wires.tc("a")
    seen["removed_again"] = wires.links("a", "absent")["changed"]
    theirs = "qdisc add dev data0 root handle 5: tbf rate 500mbit burst 64kb latency 50ms"
    wires.run("c", "tc", *theirs.split())
    seen["own_before"] = wires.tc("c")
    wires.links("c", "present", [link("c", "a", 5)])
    wires.links("c", "absent")
    seen["own_after"] = wires.tc("c")
    wires.run("c", "tc", "qdisc", "replace", "dev", "data0", "root", "handle", "7:", "htb")
    wires.run("c", "tc", "class", "add", "dev", "data0", "parent", "7:", "classid", "7:1", "htb", "rate", "1gbit")
    wires.run("c", "tc", "qdisc", "add", "dev", "data0", "parent", "7:1", "handle", "8:", "netem", "delay", "1ms")
    try:
        wires.links("c", "present", [link("c", "a", 5)])
    except ModuleFailedError as error:
        seen["refusal"] = str(error)
    return seen


def bench(wires: Wires) -> dict[str, Any]:
    return {"links": fidelity(wires, "kernel", 3), "classification": classification(wires, "kernel")}


def main() -> None:
    seen: dict[str, Any] = {}
    try:
        prepare()
        wires = Nodes("uml", ("a", "b", "c"), Path("/run/state"))
        wires.up()
        if "scenes" in sys.argv:
            seen = scenes(wires, load_modules, SHAPING)
        else:
            load_modules(SHAPING)
            seen = look(wires) if "look" in sys.argv else bench(wires)
    except BaseException:  # noqa: BLE001  (whatever it is, the machine has to go off and the test has to show it)
        seen["error"] = traceback.format_exc()
    print(MARK + json.dumps(seen), flush=True)
    termios.tcdrain(1)  # what the console still holds goes off with the machine
    ctypes.CDLL(None).reboot(POWER_OFF)


if __name__ == "__main__":
    main()
