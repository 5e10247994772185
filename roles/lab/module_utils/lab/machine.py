"""The state of this machine: interfaces, namespaces, processes; and the few ways to read and change it."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import socket
import stat
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ansible.module_utils.lab.plan import LabError
from ansible.module_utils.node import process
from ansible.module_utils.node.distribution import supported
from ansible.module_utils.node.files import read

if TYPE_CHECKING:
    from collections.abc import Iterable

SEARCH_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# All that a program gets, and with it the nodes' sshd: nothing of the controller's environment reaches a node.
ENVIRONMENT = {"PATH": SEARCH_PATH, "LC_ALL": "C"}
NAMESPACES = Path("/run/netns")


@dataclass(frozen=True)
class Process:
    """A process: its network namespace, and which folder (device, inode) is mounted for it at the nodes' state_dir."""

    pid: int
    network: int
    state: tuple[int, int] | None


def check_tools(tools: Iterable[str], package_tables: dict[str, Any]) -> None:
    """Refuse to start on an unknown distribution, without root or without one of the programs.

    Args:
        tools: the programs.
        package_tables: by family of distributions the package by program, and what installs packages.

    Raises:
        NodeError: what is missing, and what to do.
    """
    table = package_tables[supported(package_tables).family]
    if os.geteuid() != 0:
        raise LabError("Creating network namespaces requires root: run this with sudo.")
    missing = [tool for tool in tools if shutil.which(tool, path=SEARCH_PATH) is None]
    if missing:
        names = sorted({table["node_packages"].get(tool, tool) for tool in missing})
        raise LabError(
            f"Missing: {', '.join(missing)}. Install them: {table['node_install_command']} {' '.join(names)}"
        )
    if not Path("/proc/self/ns/net").exists():
        raise LabError("This kernel has no network namespaces (CONFIG_NET_NS): nodes on this machine need them.")


def run(command: list[str], lines: list[str] | None = None, pass_fds: tuple[int, ...] = ()) -> str:
    """Return the output of a program, which gets the lines on its standard input, and these open files.

    Raises:
        LabError: the program failed; the sentence has its own message and, where it is known, the reason.
    """
    text = "\n".join([*(lines or []), ""])
    try:
        return process.run(*command, text=text, environment=ENVIRONMENT, folder="/", pass_fds=pass_fds)
    except process.ProcessError as error:
        hint = ""
        if "not permitted" in error.message or "Permission denied" in error.message:
            hint = " Root lacks the rights here: in a container, start it with --privileged."
        elif "Unknown device type" in error.message or "not supported" in error.message:
            hint = (
                " The kernel lacks a feature: the lab needs veth, bridge and network namespaces "
                "(try: modprobe veth bridge)."
            )
        raise LabError(f"{error}.{hint}") from error


def run_ip(namespace: str | None, lines: list[str]) -> None:
    """Give `ip` its lines inside a namespace; None is the machine itself."""
    run([*_ip(namespace), "-batch", "-"], lines)


def interfaces(namespace: str | None) -> dict[str, dict[str, Any]]:
    """The interfaces of a namespace as `ip -json address` lists them, by name."""
    listed: list[dict[str, Any]] = json.loads(run([*_ip(namespace), "-json", "address"]))
    return {link["ifname"]: link for link in listed}


def addresses(link: dict[str, Any]) -> set[str]:
    """The IPv4 addresses of an interface, each with its prefix length."""
    return {f"{info['local']}/{info['prefixlen']}" for info in link["addr_info"] if info["family"] == "inet"}


def routes() -> list[dict[str, Any]]:
    """The machine's IPv4 routes in all tables."""
    listed: list[dict[str, Any]] = json.loads(run(["ip", "-json", "-4", "route", "show", "table", "all"]) or "[]")
    return listed


def has_default_route(namespace: str) -> bool:
    """Whether the namespace has an IPv4 default route; a missing one has none."""
    return is_whole(namespace) and bool(json.loads(run([*_ip(namespace), "-json", "-4", "route", "show", "default"])))


def named_namespaces() -> set[str]:
    """The names that `ip netns` lists."""
    return {entry.name for entry in NAMESPACES.iterdir()} if NAMESPACES.exists() else set()


def is_whole(namespace: str) -> bool:
    """Whether the name stands for a namespace; a killed `ip netns add` leaves an empty file."""
    try:
        return (NAMESPACES / namespace).stat().st_dev == Path("/proc/self/ns/net").stat().st_dev
    except FileNotFoundError:
        return False


def network_of(namespace: str) -> int | None:
    """The number by which a process tells that it is in this namespace; None where there is none of that name."""
    return (NAMESPACES / namespace).stat().st_ino if is_whole(namespace) else None


def network_of_process(pid: int) -> int | None:
    """The number of a process's network namespace; None if it has ended."""
    try:
        return Path(f"/proc/{pid}/ns/net").stat().st_ino
    except (FileNotFoundError, ProcessLookupError):
        return None


def boot() -> str:
    """The kernel's id of this boot: namespaces and interfaces do not outlive it, files do."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def processes(state_dir: Path) -> list[Process]:
    """Every process that is apart from the machine by its network or its mounts: all that could be a node's."""
    own = _namespaces_of(Path("/proc/self"))
    seen_by_mounts: dict[int, tuple[int, int] | None] = {}
    apart = []
    for pid, entry in process.processes():
        try:
            network, mounts = _namespaces_of(entry)
            if (network, mounts) == own:
                continue
            if mounts not in seen_by_mounts:
                seen = identity(Path(f"{entry}/root{state_dir}"))
                seen_by_mounts[mounts] = seen if _mounts(entry, state_dir) else None
        except (FileNotFoundError, ProcessLookupError):
            continue  # it has ended meanwhile
        except PermissionError:
            continue  # it has more rights than this process, so it cannot be one that this lab started
        apart.append(Process(pid, network, seen_by_mounts[mounts]))
    return apart


def _mounts(entry: Path, folder: Path) -> bool:
    """Return whether something is mounted there: who merely sees another root, as a container does, has other folders.

    Raises:
        ProcessLookupError: the process has ended.
    """
    escaped = re.sub(r"[\s\\]", lambda one: f"\\{ord(one[0]):03o}", str(folder))
    try:
        mounted = (entry / "mountinfo").read_text("utf-8").splitlines()
    except OSError as error:
        if error.errno == errno.EINVAL:  # it has, and waits for its parent to hear of it
            raise ProcessLookupError(errno.ESRCH, str(entry)) from error
        raise
    return any(line.split(" ")[4] == escaped for line in mounted)


def identity(path: Path) -> tuple[int, int] | None:
    """Device and inode of a folder, which it has under any name; None where there is none."""
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return (status.st_dev, status.st_ino)


def program(pid: int) -> str:
    """The name of a process's program, cut to 15 characters as the kernel does; nothing if it has ended."""
    return (read(Path(f"/proc/{pid}/comm")) or "").strip()


def greets(address: str, timeout_s: float) -> bool:
    """Whether an SSH server answers at port 22 of the address, tried once."""
    try:
        with socket.create_connection((address, 22), timeout=timeout_s) as connection:
            return connection.recv(4) == b"SSH-"
    except OSError:
        return False


def answers(address: str, deadline_s: float) -> bool:
    """Whether an SSH server answers at port 22 of the address before the deadline."""
    until = time.monotonic() + deadline_s
    while not greets(address, max(0.1, until - time.monotonic())):
        if time.monotonic() >= until:
            return False
        time.sleep(0.02)
    return True


def sockets(folder: Path) -> list[Path]:
    """The sockets in a folder."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if stat.S_ISSOCK(path.lstat().st_mode))


def _namespaces_of(entry: Path) -> tuple[int, int]:
    return (entry / "ns" / "net").stat().st_ino, (entry / "ns" / "mnt").stat().st_ino


def _ip(namespace: str | None) -> list[str]:
    return ["ip"] if namespace is None else ["ip", "-netns", namespace]
