"""The changes after which the nodes of a lab run as podman containers with systemd, or are removed."""

from __future__ import annotations

import hashlib
import json
import resource
import shutil
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ansible.module_utils.lab import machine
from ansible.module_utils.lab.files import PRIVATE, node_files, sshd_config
from ansible.module_utils.lab.nodes import controller_changes, file_change
from ansible.module_utils.lab.plan import DATA_INTERFACE, Lab, LabError, Node
from ansible.module_utils.node.cgroups import remove_cgroup
from ansible.module_utils.node.change import Change
from ansible.module_utils.node.files import read, write
from ansible.module_utils.node.process import attempt

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

TOOLS = ("ip", "podman", "ssh", "ssh-keygen", "tar")
STARTED_WITHIN_S = 60.0
CGROUPS = Path("/sys/fs/cgroup")
CGROUP_S = 2.0
LAB_LABEL = "faasbed.lab"
WAY_LABEL = "faasbed.way"
SYSTEMD_HALT = 37  # SIGRTMIN+3, which systemd takes as the order to power off (systemd(1))
# What root in a node may do, beyond what any root of a namespace of its own may: systemd and sshd need the first lines,
# k3s the others. SYS_ADMIN mounts and makes namespaces; SYS_PTRACE sees the namespaces of other users' processes; SYSLOG
# reads /dev/kmsg, where a kubelet looks for processes that the kernel has killed; SYS_NICE is the emulator's. There is no
# loading of modules, no raw access to devices, no setting of the clock, no reboot, no raising of limits.
CAPABILITIES = (
    "CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID", "SETPCAP", "SETFCAP",
    "AUDIT_WRITE", "NET_BIND_SERVICE", "SYS_CHROOT", "MKNOD",
    "NET_ADMIN", "NET_RAW", "SYS_ADMIN", "SYS_PTRACE", "SYSLOG", "SYS_NICE",
)  # fmt: skip
DEVICES = ("/dev/kmsg", "/dev/net/tun")
# Podman mounts control groups so that they cannot be written, unless a container is privileged or it starts systemd itself.
# The limits of open files are the whole machine's, and a node's systemd would raise them. The node's network namespace outlives
# the node: without the third line a redirection of links would lead nowhere after a restart, where a machine has none.
INIT = f"""
mount --bind --options ro /proc/sys/fs /proc/sys/fs
awk '$5 ~ "^/sys/fs/cgroup" {{print $5}}' /proc/self/mountinfo | while read -r mount; do mount -o remount,bind,rw "$mount"; done
for qdisc in clsact root; do tc qdisc delete dev {DATA_INTERFACE} $qdisc 2> /dev/null || true; done
exec /sbin/init
"""
# What k3s would load by itself on a machine of its own.
MODULES = ("overlay", "br_netfilter", "vxlan", "ip_set", "xt_set", "tun")
# What nodes set for the whole kernel, which they share with this machine: a kubelet the first four (its
# setupKernelTunables), the systemd of each node the limits of open files.
SHARED_SYSCTLS = (
    "vm/overcommit_memory", "vm/panic_on_oom", "kernel/panic", "kernel/panic_on_oops", "fs/file-max", "fs/nr_open",
)  # fmt: skip
# What the kernel grants each user, and all nodes are root: systemd, kubelet and containerd of each watch many files.
LEAST = {"fs/inotify/max_user_instances": 8192, "fs/inotify/max_user_watches": 524288}
# Podman's group for all containers, in each hierarchy of control groups; it leaves it behind, with its monitors' group.
PARENT = "libpod_parent"
# Which TCP congestion controls a network namespace may have as its own: only the machine itself may say (tcp(7)).
ALLOWED, AVAILABLE = "net/ipv4/tcp_allowed_congestion_control", "net/ipv4/tcp_available_congestion_control"


@dataclass(frozen=True)
class Container:
    """A container that podman knows; `pid` is 0 where it does not run."""

    name: str
    lab: str
    way: str
    pid: int


def containers() -> dict[str, Container]:
    """Every podman container, by name."""
    listed: list[dict[str, Any]] = json.loads(machine.run(["podman", "ps", "--all", "--format", "json"]) or "[]")
    by_name = {}
    for entry in listed:
        labels = entry.get("Labels") or {}
        name, pid = entry["Names"][0], entry["Pid"] if entry["State"] == "running" else 0
        by_name[name] = Container(name, labels.get(LAB_LABEL, ""), labels.get(WAY_LABEL, ""), pid)
    return by_name


def other_labs(folder: Path) -> list[Path]:
    """The folders of the labs that have containers on this machine, and so need what nodes need of its kernel, too."""
    return [Path(lab) for lab in sorted({one.lab for one in containers().values()} - {"", str(folder)})]


def refuse_foreign_containers(lab: Lab) -> None:
    """Refuse to touch a container that has a name of this lab and belongs to something else.

    Raises:
        LabError: which container it is, and what to do.
    """
    known = containers()
    for node in lab.nodes:
        container = known.get(lab.namespace(node))
        if container and container.lab != str(lab.folder):
            raise LabError(
                f"There is a container {container.name} that this lab ({lab.folder}) did not make: "
                f"remove it (podman rm {container.name}) or set lab_prefix to another word."
            )


def container_changes(lab: Lab, archives: Mapping[str, Path], usable_cores: int) -> Iterator[Change]:
    """What is missing or different among keys, root file systems and containers; each node has its archive."""
    known = containers()
    yield from controller_changes(lab, usable_cores)
    for node in lab.nodes:
        container, archive = known.get(lab.namespace(node)), archives[node.name]
        as_now = (
            container is not None
            and container.pid != 0
            and container.way == _way(lab, node, archive)
            and machine.network_of_process(container.pid) == machine.network_of(lab.namespace(node))
        )
        if container and not as_now:
            yield Change(f"end the container {container.name}", partial(_remove, container.name))
        if read(_unpacked(lab, node)) != archive.name:
            yield Change(f"unpack the root file system of {node.name}", partial(_unpack, lab, node, archive))
        for path, text in _files(lab, node).items():
            yield from file_change(path, text, _mode(path))
        if not as_now:
            where = f" on core {','.join(map(str, node.cores))}" if node.cores else ""
            yield Change(f"start {node.name}{where}", partial(_start, lab, node, archive))


def container_removal(names: Iterable[str]) -> Iterator[Change]:
    """The removal of containers, whatever runs in them."""
    known = containers()
    for name in names:
        if name in known:
            yield Change(f"remove the container {name}", partial(_remove, name))


def sysctls() -> dict[str, str]:
    """The settings of this machine's kernel that a kubelet changes for all, as they are now."""
    values = {name: read(Path("/proc/sys") / name) for name in (*SHARED_SYSCTLS, *LEAST, ALLOWED)}
    return {name: value.strip() for name, value in values.items() if value is not None}


def limit_changes() -> Iterator[Change]:
    """Settings of the kernel that are too narrow for several nodes on one machine."""
    now = sysctls()
    for name, least in LEAST.items():
        if int(now.get(name, least)) < least:
            yield _setting(name, str(least))
    available = (read(Path("/proc/sys") / AVAILABLE) or "").split()
    if set(available) - set(now.get(ALLOWED, "").split()):
        yield _setting(ALLOWED, " ".join(available))


def module_changes() -> Iterator[Change]:
    """Modules of the kernel that nodes need and may not load."""
    for name in MODULES if shutil.which("modprobe") else ():
        # a built-in one has no file
        if (
            "insmod " in attempt("modprobe", "--quiet", "--show-depends", name).stdout
            and not Path("/sys/module", name).exists()
        ):
            yield Change(f"load the kernel module {name}", partial(machine.run, ["modprobe", name]))


def sysctl_changes(recorded: dict[str, str]) -> Iterator[Change]:
    """Settings of the kernel that are no longer what they were before the first node ran."""
    now = sysctls()
    for name, value in recorded.items():
        if now.get(name) != value:
            yield _setting(name, value)


def missing_cgroups() -> tuple[str, ...]:
    """The control groups that podman will make for its containers, as there are none yet."""
    roots = [CGROUPS, *(path for path in CGROUPS.iterdir() if path.is_dir())]
    parents = [root / PARENT for root in roots if (root / "cgroup.procs").exists()]
    return tuple(sorted(str(parent) for parent in parents if not parent.exists()))


def cgroup_changes(recorded: Iterable[str]) -> Iterator[Change]:
    """The removal of control groups that podman made; where other containers have theirs in one, it stays."""
    for name in recorded:
        if Path(name).exists():
            yield Change(f"remove the control group {name}", partial(remove_cgroup, Path(name), CGROUP_S))


def _setting(name: str, value: str) -> Change:
    path = Path("/proc/sys") / name
    return Change(f"set {name.replace('/', '.')} to {value}", partial(path.write_text, f"{value}\n", "ascii"))


def await_nodes(lab: Lab) -> None:
    """Wait until every node's SSH server answers.

    Raises:
        LabError: one does not, with the commands that show why.
    """
    for node in lab.nodes:
        if not machine.answers(node.management_address, STARTED_WITHIN_S):
            name = lab.namespace(node)
            raise LabError(
                f"{node.name} does not answer SSH at {node.management_address} within {STARTED_WITHIN_S:.0f} s: "
                f"see `podman exec {name} systemctl --failed` and `podman exec {name} journalctl -u ssh`."
            )


def _files(lab: Lab, node: Node) -> dict[Path, Callable[[], str]]:
    """The text of every file that makes a root file system this node's, by its path; as functions, keys come late."""
    files = node_files(lab, node)
    files["etc/systemd/system.conf.d/faasbed.conf"] = partial(_systemd_config, node)
    return {_root(lab, node) / path: text for path, text in files.items()}


def _mode(path: Path) -> int:
    return 0o600 if path.name in PRIVATE else 0o644


def _systemd_config(node: Node) -> str:
    """Pin all that the node's systemd starts; not by a cpuset, of which a kubelet insists on having all cores."""
    return f"[Manager]\nCPUAffinity={' '.join(map(str, node.cores))}\n" if node.cores else ""


def _root(lab: Lab, node: Node) -> Path:
    return lab.home(node) / "root"


def _unpacked(lab: Lab, node: Node) -> Path:
    return lab.home(node) / "archive"


def _unpack(lab: Lab, node: Node, archive: Path) -> None:
    home, root = lab.home(node), _root(lab, node)
    if home.exists():
        shutil.rmtree(home)
    root.mkdir(parents=True, mode=0o755)
    machine.run(["tar", "--extract", "--numeric-owner", "--file", str(archive), "--directory", str(root)])
    # They went with the one that was there before, and nobody had missed them when changes were sought.
    for path, text in _files(lab, node).items():
        write(path, text(), _mode(path), folder_mode=0o700)
    write(_unpacked(lab, node), archive.name, 0o600, folder_mode=0o700)


def _command(lab: Lab, node: Node) -> list[str]:
    """The command that starts a node, without what its files hold.

    systemd gets fresh /run and /tmp and a cgroup namespace of its own by these options, not by podman's own
    ``--systemd``, which on machines with version 1 of cgroups would bind the machine's own hierarchy into every node.
    """
    command = ["podman", "run", "--detach", "--name", lab.namespace(node), "--hostname", node.name]
    if not Path("/sys/fs/cgroup/cgroup.controllers").exists():
        command += ["--runtime", "runc"]  # crun refuses machines that have both versions of cgroups
    command += ["--systemd=false", "--env", "container=podman", "--cgroupns", "private", "--cap-drop", "ALL"]
    for capability in CAPABILITIES:
        command += ["--cap-add", capability]
    for device in DEVICES:
        command += ["--device", device]
    # /proc/sys belongs to the node's own namespaces for the most part; a profile of AppArmor would refuse each mount.
    command += ["--security-opt", "unmask=ALL", "--security-opt", "apparmor=unconfined"]
    command += ["--tmpfs", "/run:rw,mode=755", "--tmpfs", "/run/lock:rw", "--tmpfs", "/tmp:rw,mode=1777"]  # noqa: S108
    command += ["--stop-signal", str(SYSTEMD_HALT), "--log-driver", "none"]
    # Never above what podman itself has: a root without CAP_SYS_RESOURCE may not raise a limit.
    for name, kind, most in (("nofile", resource.RLIMIT_NOFILE, 2**20), ("nproc", resource.RLIMIT_NPROC, 2**15)):
        limit = min(most, resource.getrlimit(kind)[1] % 2**63)  # "infinity" is -1
        command += ["--ulimit", f"{name}={limit}:{limit}"]
    command += ["--network", f"ns:{machine.NAMESPACES / lab.namespace(node)}", "--no-hosts", "--dns", "none"]
    return command


def _way(lab: Lab, node: Node, archive: Path) -> str:
    """A hash of everything a running node was started with: if it differs from now, the node is restarted."""
    parts = [
        *_command(lab, node),
        INIT,
        archive.name,
        sshd_config(node),
        _systemd_config(node),
        read(lab.host_key(node)) or "",
    ]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _start(lab: Lab, node: Node, archive: Path) -> None:
    labels = {LAB_LABEL: str(lab.folder), WAY_LABEL: _way(lab, node, archive)}
    options = [part for name, value in labels.items() for part in ("--label", f"{name}={value}")]
    machine.run([*_command(lab, node), *options, "--rootfs", str(_root(lab, node)), "sh", "-euc", INIT])


def _remove(name: str) -> None:
    command = ["podman", "rm", "--force", "--time", "0", name]
    try:
        machine.run(command)
    except LabError:  # on a busy machine a node's processes may take longer to end than podman waits
        machine.run(command)
