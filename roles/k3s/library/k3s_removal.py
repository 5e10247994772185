#!/usr/bin/python
"""Ansible module: remove everything that a cluster created on a node."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from contextlib import suppress
from functools import partial
from ipaddress import IPv4Network, ip_network
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.k3s.firewall import in_force, program, removal_of, tables_of
from ansible.module_utils.k3s.machine import LEFTOVERS
from ansible.module_utils.node.cgroups import remove_cgroup
from ansible.module_utils.node.change import Change, outcome
from ansible.module_utils.node.errors import NodeError
from ansible.module_utils.node.process import attempt, processes, run

if TYPE_CHECKING:
    from collections.abc import Iterator

DOCUMENTATION = r"""
module: k3s_removal
short_description: Remove everything that a k3s cluster created on a node
description:
  - Removes what it finds, whatever state an interrupted run left; what was there before the cluster stays.
  - A k3s that the role did not install is left alone.
options:
  unit: {description: Name of the systemd unit., type: str, required: true}
  state_dir: {description: Where the role keeps its files on the node., type: path, required: true}
  networks: {description: The networks of pods and services., type: list, elements: str, required: true}
author: [faasbed]
"""
EXAMPLES = r"""
- name: Remove k3s from the node
  k3s_removal:
    unit: faasbed-k3s
    state_dir: /var/lib/faasbed/k3s
    networks: [10.42.0.0/16, 10.43.0.0/16]
"""
RETURN = r"""
changes: {description: "What was done, or would be done.", type: list, elements: str, returned: always}
"""

BINARY = "/usr/local/bin/k3s"
LINKS = ("cni0", "flannel.1", "flannel-v6.1", "flannel-wg", "flannel-wg-v6", "kube-ipvs0")
MOUNTS = ("/run/k3s", "/var/lib/rancher", "/var/lib/kubelet", "/run/netns/cni-")
CGROUPS = ("kubepods", "kubepods.slice", "k3s")
# Tables of iptables in the words of nft; those of its older kind cannot be removed.
FAMILIES = {"iptables": "ip", "ip6tables": "ip6"}
END_TIMEOUT_S = 30
# kubectl's cache is in it, and perhaps what somebody put there.
KUBECTL = Path("/root/.kube")


def unit_ends(unit: str) -> Iterator[Change]:
    """End k3s itself."""
    if attempt("systemctl", "is-active", unit).stdout.strip() in {"active", "activating", "reloading", "deactivating"}:
        yield Change(f"stop {unit}", partial(run, "systemctl", "stop", unit))
    if attempt("systemctl", "is-enabled", unit).stdout.strip() == "enabled":
        yield Change(f"disable {unit}", partial(run, "systemctl", "disable", "--quiet", unit))


def cluster_processes() -> list[int]:
    """Return the processes of pods, and those that run k3s' own programs."""
    pids = []
    for pid, entry in processes():
        with suppress(OSError):  # it has ended meanwhile, or is the kernel's
            in_pod = "/kubepods" in (entry / "cgroup").read_text("utf-8")
            if in_pod or os.readlink(entry / "exe").startswith(("/var/lib/rancher/k3s/", BINARY)):
                pids.append(pid)
    return pids


def processes_end(_: str) -> Iterator[Change]:
    """End what k3s leaves running when it ends."""
    pids = cluster_processes()
    if pids:
        yield Change(f"end {len(pids)} processes of pods and containerd", end_processes)


def end_processes() -> None:
    """Kill until nothing is left."""
    until = time.monotonic() + END_TIMEOUT_S
    while pids := cluster_processes():
        if time.monotonic() > until:
            raise NodeError(f"processes {pids} do not end")
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.05)


def mounts_go(_: str) -> Iterator[Change]:
    """Unmount what pods and containerd had, the innermost first."""
    points = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text("utf-8").splitlines()]
    for point in reversed([point.replace("\\040", " ") for point in points if point.startswith(MOUNTS)]):
        yield Change(f"unmount {point}", partial(run, "umount", "--lazy", point))


def links_go(_: str) -> Iterator[Change]:
    """Remove the interfaces; those of pods are the bridge's."""
    links = {link["ifname"]: link for link in json.loads(attempt("ip", "-json", "link", "show").stdout or "[]")}
    for name, link in links.items():
        if link.get("master") == "cni0" or name in LINKS:
            yield Change(f"remove interface {name}", partial(attempt, "ip", "link", "delete", name))


def routes_go(networks: list[str]) -> Iterator[Change]:
    """Remove the routes to pods on other nodes."""
    pods = [network for network in map(ip_network, networks) if isinstance(network, IPv4Network)]
    for route in json.loads(attempt("ip", "-json", "route", "show", "table", "main").stdout or "[]"):
        with suppress(ValueError):  # `default`, and what is not IPv4
            target = IPv4Network(route["dst"])
            if any(target.subnet_of(network) for network in pods):
                where = ["dev", route["dev"]] if "dev" in route else []
                yield Change(f"remove route {target}", partial(attempt, "ip", "route", "delete", str(target), *where))


def firewall_goes(before: dict[str, Any]) -> Iterator[Change]:
    """Remove the chains and what leads to them, then the tables that nobody had before, where `nft` is there for it."""
    for kind, saved in in_force().items():
        kept = set(before.get(kind, []))
        script = removal_of(saved, kept)
        if script:
            count = script.count("\n-X ") + script.count("\n-D ")
            restore = program(f"{kind}-restore") or f"{kind}-restore"
            yield Change(f"remove {count} chains and rules of {kind}", partial(run, restore, "--noflush", text=script))
        family = FAMILIES.get(kind)
        if kind not in before or family is None or shutil.which("nft") is None:
            continue
        left = attempt(program(f"{kind}-save") or f"{kind}-save").stdout
        for table in tables_of(left):
            if table.name not in kept and not table.rules and not table.own:
                yield Change(
                    f"remove the empty table {table.name} of {kind}",
                    partial(run, "nft", "delete", "table", family, table.name),
                )


def sets_go(_: str) -> Iterator[Change]:
    """Remove the sets of addresses."""
    ipset = program("ipset") or "ipset"
    for name in attempt(ipset, "list", "-name").stdout.split():
        if name.startswith("KUBE-"):
            yield Change(f"remove ipset {name}", partial(attempt, ipset, "destroy", name))


def cgroups_go(_: str) -> Iterator[Change]:
    """Remove the control groups of pods, by systemd where it made them."""
    listed = attempt("systemctl", "list-units", "--all", "--plain", "--no-legend", "kubepods*.slice").stdout
    slices = [line.split()[0] for line in listed.splitlines() if line.split()]
    if slices:
        yield Change(f"stop {len(slices)} slices of pods", partial(run, "systemctl", "stop", *slices))
    root = Path("/sys/fs/cgroup")
    for above in (root, *(entry for entry in root.iterdir() if entry.is_dir() and not entry.is_symlink())):
        for name in CGROUPS:
            if (above / name / "cgroup.procs").exists():
                yield Change(f"remove control group {above / name}", partial(end_cgroup, above / name))


def end_cgroup(top: Path) -> None:
    """Remove a tree of control groups."""
    if not remove_cgroup(top, END_TIMEOUT_S):
        raise NodeError(f"the control group {top} cannot be removed; something still runs in it")


def files_go(kept: list[str]) -> Iterator[Change]:
    """Remove what k3s and its parts keep on disk."""
    for name in LEFTOVERS:
        path = Path(name)
        if not path.exists() or name in kept:
            continue
        if path.is_file():
            yield Change(f"remove {path}", path.unlink)
        elif not path.is_mount():
            yield Change(f"remove {path}", partial(shutil.rmtree, path))
    if KUBECTL.is_dir() and not any(KUBECTL.iterdir()):
        yield Change(f"remove {KUBECTL}", KUBECTL.rmdir)


def settings_return(before: dict[str, Any]) -> Iterator[Change]:
    """Restore the kernel's settings to their values before the cluster."""
    for name, value in before.get("sysctls", {}).items():
        path = Path("/proc/sys", *name.split("."))
        if not path.exists() or path.read_text("utf-8").strip() == value or not os.access(path, os.W_OK):
            continue
        yield Change(f"set {name} to {value}", partial(set_back, path, value))


def set_back(path: Path, value: str) -> None:
    """Write a setting; one that a container may not write was not changed by the cluster either."""
    with suppress(PermissionError):
        path.write_text(value, "utf-8")


def marks_go(unit: str, state_dir: Path) -> Iterator[Change]:
    """Remove what marks the node as faasbed's: last, so that an interrupted removal can be repeated."""
    unit_file = Path(f"/etc/systemd/system/{unit}.service")
    if unit_file.exists():
        yield Change(f"remove {unit_file}", unit_file.unlink)
        yield Change(f"reload systemd without {unit}", partial(forget_unit, unit))
    if state_dir.exists():
        yield Change(f"remove {state_dir}", partial(shutil.rmtree, state_dir))
    if state_dir.parent.is_dir() and not any(entry for entry in state_dir.parent.iterdir() if entry != state_dir):
        yield Change(f"remove {state_dir.parent}", state_dir.parent.rmdir)


def forget_unit(unit: str) -> None:
    """Make systemd forget a unit whose file is gone."""
    run("systemctl", "daemon-reload")
    attempt("systemctl", "reset-failed", unit)


def remove(options: dict[str, Any], *, dry: bool) -> list[str]:
    """Remove everything; return a sentence for each change."""
    unit, state_dir = options["unit"], Path(options["state_dir"])
    if not state_dir.exists() and not Path(f"/etc/systemd/system/{unit}.service").exists():
        return []
    ledger = state_dir / "before.json"
    before = json.loads(ledger.read_text("utf-8")) if ledger.exists() else {}
    sentences = []
    # Each part is evaluated only after the one before it is carried out.
    for part in (
        partial(unit_ends, unit),
        partial(processes_end, unit),
        partial(mounts_go, unit),
        partial(links_go, unit),
        partial(routes_go, options["networks"]),
        partial(firewall_goes, before.get("firewall", {})),
        partial(sets_go, unit),
        partial(cgroups_go, unit),
        partial(files_go, before.get("files", [])),
        partial(settings_return, before),
        partial(marks_go, unit, state_dir),
    ):
        for change in part():
            sentences.append(change.sentence)
            if not dry:
                change.do()
    return sentences


def main() -> None:
    """Run as Ansible's module."""
    module = AnsibleModule(
        argument_spec={
            "unit": {"type": "str", "required": True},
            "state_dir": {"type": "path", "required": True},
            "networks": {"type": "list", "elements": "str", "required": True},
        },
        supports_check_mode=True,
    )
    try:
        changes = remove(module.params, dry=module.check_mode)
    except (NodeError, OSError) as error:
        module.fail_json(msg=f"k3s is not completely removed: {error}; run the playbook again.")
    module.exit_json(**outcome(changes))


if __name__ == "__main__":
    main()
