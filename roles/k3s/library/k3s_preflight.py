#!/usr/bin/python
"""Ansible module: check that a node can be part of a k3s cluster, and report what it has of one."""

from __future__ import annotations

import platform
import re
import socket
import time
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.k3s import firewall
from ansible.module_utils.k3s.machine import (
    ARCHITECTURES,
    LEFTOVERS,
    Port,
    Sums,
    cgroups,
    default_route,
    free_mib,
    has_ip_sets,
    lacking_features,
    may_raise_limits,
    memory_mib,
    network_of,
    resolves,
    sysctls,
    taken,
)
from ansible.module_utils.node.process import attempt

DOCUMENTATION = r"""
module: k3s_preflight
short_description: Check that a node can be part of a k3s cluster
description:
  - Fails with one sentence for each obstacle; changes nothing.
options:
  node: {description: The node's name in the inventory., type: str, required: true}
  server: {description: Whether the node is to be a server., type: bool, required: true}
  unit: {description: Name of the role's systemd unit., type: str, required: true}
  state_dir: {description: Where the role keeps its files on the node., type: path, required: true}
  interface: {description: The interface towards the data network., type: str, required: true}
  address: {description: The node's address on it., type: str, required: true}
  backend: {description: Flannel's backend., type: str, required: true}
  version: {description: "k3s' version, as v1.34.3+k3s1.", type: str, required: true}
  memory_mib: {description: Memory required., type: int, required: true}
  disk_mib: {description: Free space required under /var/lib before anything is installed., type: int, required: true}
  controller_time_s: {description: The controller's clock just before the module was sent., type: float, required: true}
author: [faasbed]
"""
EXAMPLES = r"""
- name: Check that the node can be part of the cluster
  k3s_preflight:
    node: edge-1
    server: true
    unit: faasbed-k3s
    state_dir: /var/lib/faasbed/k3s
    interface: eth0
    address: 192.0.2.11
    backend: vxlan
    version: v1.34.3+k3s1
    memory_mib: 1024
    disk_mib: 4096
    controller_time_s: "{{ now().timestamp() }}"
"""
RETURN = r"""
architecture: {description: amd64 or arm64., type: str, returned: always}
active: {description: Whether the role's unit runs., type: bool, returned: always}
known: {description: Whether the node remembers having been part of a cluster., type: bool, returned: always}
holds: {description: SHA-256 by path of binary and image archives., type: dict, returned: always}
data_network: {description: The network of the node's data address., type: str, returned: always}
raises_limits: {description: Whether services may have CAP_SYS_RESOURCE., type: bool, returned: always}
before: {description: "What the node is before a cluster, for its removal.", type: dict, returned: always}
clock_offset_s: {description: The node's clock minus the controller's., type: float, returned: always}
"""

BINARY = Path("/usr/local/bin/k3s")
DATA = Path("/var/lib/rancher/k3s")
CONTROLLERS = {"cpu", "cpuset", "memory", "pids"}
# From this minor version on kubelet refuses the first version of control groups.
CGROUP_V2_FROM = 35


def ports_of(server: bool, backend: str) -> list[Port]:
    """Return the ports a node needs for itself."""
    ports = [Port(10250, "tcp", "kubelet")]
    if server:
        ports += [Port(6443, "tcp", "Kubernetes API"), Port(2379, "tcp", "etcd"), Port(2380, "tcp", "etcd")]
    if backend == "vxlan":
        ports.append(Port(8472, "udp", "flannel vxlan"))
    if backend == "wireguard-native":
        ports.append(Port(51820, "udp", "flannel wireguard"))
    return ports


def runs_systemd() -> bool:
    """Return whether systemd runs this node."""
    return Path("/run/systemd/system").exists()


def obstacles(options: dict[str, Any], active: bool) -> list[str]:
    """Return a sentence for each thing that prevents k3s from running here."""
    sentences = []
    if not re.fullmatch(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?", options["node"]):
        sentences.append(
            "Kubernetes accepts names of lower-case letters, digits, dots and hyphens only; rename the host in the inventory"
        )
    if platform.machine() not in ARCHITECTURES:
        sentences.append(f"its architecture is {platform.machine()}; k3s is supported on x86_64 and aarch64")
    if not runs_systemd():
        sentences.append("it does not run systemd, which k3s needs")
    if memory_mib() < options["memory_mib"]:
        kind = "server" if options["server"] else "agent"
        sentences.append(
            f"it has {memory_mib()} MiB of memory, {options['memory_mib']} MiB required (k3s_{kind}_memory_mib)"
        )
    version, controllers = cgroups()
    if CONTROLLERS - controllers:
        lacking = ", ".join(sorted(CONTROLLERS - controllers))
        sentences.append(
            f"its kernel has the control group controllers {lacking} disabled; add cgroup_enable=memory "
            "cgroup_memory=1 to the kernel's command line and reboot it"
        )
    minor = int(options["version"].lstrip("v").split(".")[1])
    if version == 1 and minor >= CGROUP_V2_FROM:
        sentences.append(
            f"it has control groups version 1, which kubelet 1.{minor} refuses; use k3s 1.{CGROUP_V2_FROM - 1} or "
            "boot with systemd.unified_cgroup_hierarchy=1"
        )
    sentences += lacking_features(options["backend"])
    if network_of(options["interface"], options["address"]) is None:
        sentences.append(
            f"its interface {options['interface']} does not have the address {options['address']}; correct "
            "data_interface or data_address in the inventory (`ip -brief address` on the node)"
        )
    if not default_route(Path("/proc/net/route").read_text("utf-8")):
        sentences.append(
            "it has no default route, which its processes need to reach services of the cluster; add one, even a "
            f"dummy (ip route add default dev {options['interface']})"
        )
    if not resolves(socket.gethostname()):
        sentences.append(
            f"its host name {socket.gethostname()} does not resolve on it; add `127.0.1.1 {socket.gethostname()}` to "
            "its /etc/hosts"
        )
    if not active:
        sentences += not_yet_installed(options)
    return sentences


def not_yet_installed(options: dict[str, Any]) -> list[str]:
    """Return what prevents a first start: another k3s, ports, space."""
    sentences = []
    ours = Path(f"/etc/systemd/system/{options['unit']}.service").exists()
    strange = [path for path in (BINARY, DATA) if path.exists()]
    if strange and not ours:
        sentences.append(
            f"it has a k3s that faasbed did not install ({strange[0]}); remove it, or use its cluster by setting "
            "kubeconfig in the inventory"
        )
    # Flannel's port belongs to the kernel while its interface exists, even if the role's k3s is stopped.
    sentences += taken(ports_of(options["server"], "none" if ours else options["backend"]))
    if not ours and free_mib(str(DATA)) < options["disk_mib"]:
        sentences.append(
            f"{free_mib(str(DATA))} MiB free under /var/lib, {options['disk_mib']} MiB required (k3s_disk_mib); free "
            "some space"
        )
    return sentences


def holdings(state_dir: Path) -> dict[str, str]:
    """Return the SHA-256 of what the node holds of a cluster's artifacts, by path."""
    sums = Sums(state_dir / "sums.json")
    images = DATA / "agent" / "images"
    paths = [BINARY, *(sorted(images.iterdir()) if images.is_dir() else [])]
    return {str(path): sums.of(path) or "" for path in paths if path.is_file() and not path.name.startswith(".")}


def before() -> dict[str, Any]:
    """Return the node's state before a cluster: what its removal restores, or leaves alone."""
    return {
        "sysctls": sysctls(),
        "firewall": firewall.before(),
        "files": [path for path in LEFTOVERS if Path(path).exists()],
    }


def main() -> None:
    """Run as Ansible's module."""
    arrived_s = time.time()
    text = {"type": "str", "required": True}
    number = {"type": "int", "required": True}
    module = AnsibleModule(
        argument_spec={
            "node": text,
            "server": {"type": "bool", "required": True},
            "unit": text,
            "state_dir": {"type": "path", "required": True},
            "interface": text,
            "address": text,
            "backend": text,
            "version": text,
            "memory_mib": number,
            "disk_mib": number,
            "controller_time_s": {"type": "float", "required": True},
        },
        supports_check_mode=True,
    )
    options = module.params
    state = attempt("systemctl", "is-active", options["unit"]).stdout.strip()
    active = state in {"active", "activating", "reloading"}
    reasons = obstacles(options, active)
    if reasons:
        module.fail_json(msg=f"{options['node']} cannot be part of the cluster: {'; '.join(reasons)}.")
    ledger = Path(options["state_dir"]) / "before.json"
    swaps = Path("/proc/swaps").read_text("utf-8").splitlines()[1:]
    if swaps:
        module.warn(
            f"{options['node']} has swap enabled; a replica that swaps falsifies the measurement (disable it: swapoff -a)."
        )
    if not has_ip_sets():
        module.warn(
            f"{options['node']} has a kernel without IP sets: k3s does not enforce NetworkPolicies there, so replicas on "
            "it answer every pod and every node of the data network; install the distribution's kernel (ip_set, xt_set)."
        )
    module.exit_json(
        changed=False,
        architecture=ARCHITECTURES[platform.machine()],
        active=active,
        known=Path("/etc/rancher/node/password").exists(),
        holds=holdings(Path(options["state_dir"])),
        data_network=network_of(options["interface"], options["address"]),
        raises_limits=may_raise_limits(Path("/proc/1/status").read_text("utf-8")),
        before={} if ledger.exists() else before(),
        clock_offset_s=round(arrived_s - options["controller_time_s"], 3),
    )


if __name__ == "__main__":
    main()
