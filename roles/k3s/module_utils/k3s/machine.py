"""What a node is: read from /proc and /sys, nothing is changed. Functions on text have no I/O and are tested alone."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import socket
from ipaddress import ip_interface
from pathlib import Path
from typing import Any, NamedTuple

from ansible.module_utils.node import files
from ansible.module_utils.node.files import sha256_of
from ansible.module_utils.node.process import attempt, processes

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
LISTENING = "0A"
CAP_SYS_RESOURCE = 24
SO_IP_SET = 83  # linux/netfilter/ipset/ip_set.h
# What kubelet, kube-proxy and k3s itself set for the whole node; removal puts the values of before back.
SYSCTLS = (
    "vm.overcommit_memory",
    "vm.panic_on_oom",
    "kernel.panic",
    "kernel.panic_on_oops",
    "kernel.keys.root_maxkeys",
    "kernel.keys.root_maxbytes",
    "net.ipv4.ip_forward",
    "net.ipv4.conf.all.forwarding",
    "net.ipv6.conf.all.forwarding",
    "net.ipv4.conf.all.route_localnet",
    "net.bridge.bridge-nf-call-iptables",
    "net.bridge.bridge-nf-call-ip6tables",
    "net.netfilter.nf_conntrack_max",
    "net.netfilter.nf_conntrack_tcp_timeout_established",
    "net.netfilter.nf_conntrack_tcp_timeout_close_wait",
)
# What k3s and its parts keep on disk; what of it was there before a cluster stays.
LEFTOVERS = (
    "/etc/rancher",
    "/var/lib/rancher",
    "/var/lib/kubelet",
    "/var/lib/cni",
    "/etc/cni",
    "/run/k3s",
    "/run/flannel",
    "/run/netns",
    "/run/nri",
    "/run/containerd",
    "/var/log/pods",
    "/var/log/containers",
    "/usr/local/bin/k3s",
    "/usr/libexec/kubernetes",
    "/root/.kube/cache",  # kubectl's own
)


class Port(NamedTuple):
    """A port that k3s needs."""

    number: int
    protocol: str
    purpose: str


def sockets_on(table: str, port: int, *, listening: bool) -> list[str]:
    """Return the inodes of the sockets on a local port, of the text of ``/proc/net/tcp`` or ``udp``."""
    inodes = []
    for line in table.splitlines()[1:]:
        words = line.split()
        if int(words[1].rpartition(":")[2], 16) == port and (words[3] == LISTENING or not listening):
            inodes.append(words[9])
    return inodes


def owner_of(inode: str) -> str:
    """Return who has a socket, as ``nginx (pid 12)``; a kernel's own socket has no process."""
    target = f"socket:[{inode}]"
    for pid, entry in processes():
        try:
            if any(os.readlink(link) == target for link in (entry / "fd").iterdir()):
                return f"{(entry / 'comm').read_text('utf-8').strip()} (pid {pid})"
        except OSError:  # it has ended meanwhile
            continue
    return "the kernel"


def taken(ports: list[Port]) -> list[str]:
    """Return a sentence for each port that some program uses."""
    sentences = []
    for port in ports:
        inodes = []
        for table in (f"/proc/net/{port.protocol}", f"/proc/net/{port.protocol}6"):
            if Path(table).exists():
                inodes += sockets_on(Path(table).read_text("utf-8"), port.number, listening=port.protocol == "tcp")
        if inodes:
            sentences.append(
                f"port {port.number}/{port.protocol} ({port.purpose}) is in use by {owner_of(inodes[0])}; stop that program"
            )
    return sentences


def cgroups() -> tuple[int, set[str]]:
    """Return the version of control groups that kubelet will see, and the controllers that are there."""
    unified = Path("/sys/fs/cgroup/cgroup.controllers")
    if unified.exists():
        return 2, set(unified.read_text("utf-8").split())
    return 1, controllers_of(Path("/proc/cgroups").read_text("utf-8"))


def controllers_of(table: str) -> set[str]:
    """Return the enabled controllers of the text of ``/proc/cgroups``."""
    rows = [line.split() for line in table.splitlines() if not line.startswith("#")]
    return {row[0] for row in rows if len(row) == 4 and row[3] == "1"}


def memory_mib() -> int:
    """Return how much memory this node may have: the machine's, or its control group's limit."""
    entry = re.search(r"^MemTotal:\s+(\d+) kB", Path("/proc/meminfo").read_text("utf-8"), re.MULTILINE)
    total = int(entry.group(1)) // 1024 if entry else 0
    for file in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        limit = (files.read(Path(file)) or "max").strip()
        if limit.isdigit():
            total = min(total, int(limit) // 2**20)
    return total


def free_mib(path: str) -> int:
    """Return the free space of the file system that holds a path, which need not exist yet."""
    existing = Path(path)
    while not existing.exists():
        existing = existing.parent
    return shutil.disk_usage(existing).free // 2**20


def may_raise_limits(status: str) -> bool:
    """Return whether the bounding set of the text of ``/proc/1/status`` has CAP_SYS_RESOURCE."""
    bounding = re.search(r"^CapBnd:\s+([0-9a-f]+)", status, re.MULTILINE)
    return bool(int(bounding.group(1), 16) >> CAP_SYS_RESOURCE & 1) if bounding else True


def default_route(table: str) -> bool:
    """Return whether the text of ``/proc/net/route`` has a default route."""
    return any(line.split()[1] == "00000000" and line.split()[7] == "00000000" for line in table.splitlines()[1:])


def network_of(interface: str, address: str) -> str | None:
    """Return the network of an interface's address, as ``198.19.2.0/24``; None when it does not have it."""
    for link in json.loads(attempt("ip", "-json", "address", "show", "dev", interface).stdout or "[]"):
        for entry in link.get("addr_info", []):
            if entry["local"] == address:
                return str(ip_interface(f"{address}/{entry['prefixlen']}").network)
    return None


def resolves(name: str) -> bool:
    """Return whether a name has an address on this node."""
    try:
        socket.getaddrinfo(name, None)
    except OSError:
        return False
    return True


def lacking_features(backend: str) -> list[str]:
    """Return a sentence for each kernel feature that containers or the flannel backend need and the kernel lacks."""
    sentences = []
    for module in ("overlay", "br_netfilter"):
        attempt("modprobe", "--quiet", module)  # the unit does it as well; a built-in one needs no loading
    if not re.search(r"\boverlay$", Path("/proc/filesystems").read_text("utf-8"), re.MULTILINE):
        sentences.append("its kernel has no overlayfs, which containers need; install the distribution's kernel")
    if not Path("/proc/sys/net/bridge").exists():
        sentences.append("its kernel has no br_netfilter, which services need; install the distribution's kernel")
    kind = {"vxlan": ["vxlan", "id", "1", "dstport", "0"], "wireguard-native": ["wireguard"]}.get(backend)
    # Tried in a network namespace of its own.
    if kind and attempt("unshare", "--net", "ip", "link", "add", "trial", "type", *kind).returncode:
        sentences.append(
            f"its kernel cannot make {kind[0]} interfaces; load the module {kind[0]} or set k3s_flannel_backend to host-gw"
        )
    return sentences


def has_ip_sets() -> bool:
    """Return whether the kernel has sets of addresses for iptables (ipset(8)), by the option that ``iptables -m set`` asks."""
    for module in ("ip_set", "xt_set"):
        attempt("modprobe", "--quiet", module)
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as probe:
        try:
            probe.getsockopt(socket.IPPROTO_IP, SO_IP_SET, 8)
        except OSError as error:
            return error.errno != errno.ENOPROTOOPT  # with sets, what is refused is the empty question
    return True


def sysctls() -> dict[str, str]:
    """Return the settings that a cluster changes, as they are now."""
    values = {}
    for name in SYSCTLS:
        path = Path("/proc/sys", *name.split("."))
        if path.exists():
            values[name] = path.read_text("utf-8").strip()
    return values


class Sums:
    """SHA-256 by path, remembered together with size and time of change: large files are read once.

    Args:
        ledger: the file that remembers.
    """

    def __init__(self, ledger: Path) -> None:
        self._ledger = ledger
        try:
            self._known: dict[str, Any] = json.loads(ledger.read_text("utf-8"))
        except (OSError, ValueError):
            self._known = {}

    def of(self, path: Path) -> str | None:
        """Return a file's SHA-256, or None when there is no such file."""
        try:
            about = path.stat()
        except FileNotFoundError:
            return None
        known = self._known.get(str(path))
        if known and known["size"] == about.st_size and known["mtime_ns"] == about.st_mtime_ns:
            return str(known["sha256"])
        return sha256_of(path)

    def remember(self, path: Path, sha256: str) -> None:
        """Write down what a file holds now."""
        about = path.stat()
        self._known[str(path)] = {"sha256": sha256, "size": about.st_size, "mtime_ns": about.st_mtime_ns}
        files.write(self._ledger, json.dumps(self._known, indent=1))
