"""What there is on the machine: interfaces, namespaces, processes; and the few ways to ask and to change it."""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import socket
import stat
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible.module_utils.lab.plan import LabError

SEARCH_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
NAMESPACES = Path("/run/netns")


@dataclass(frozen=True)
class Process:
    """A process: the network namespace it is in, and which folder (device, inode) it sees at the nodes' state_dir."""

    pid: int
    network: int
    state: tuple[int, int] | None


def check_tools(tools: dict[str, str]) -> None:
    """Refuse to start without root or without one of the programs, naming the Debian package that has it."""
    if os.geteuid() != 0:
        raise LabError("Making network namespaces needs root: run this with sudo.")
    missing = [tool for tool in tools if shutil.which(tool, path=SEARCH_PATH) is None]
    if missing:
        packages = sorted({tools[tool] for tool in missing})
        raise LabError(f"Missing: {', '.join(missing)}. On Debian or Ubuntu: apt-get install {' '.join(packages)}")
    if not Path("/proc/self/ns/net").exists():
        raise LabError("This kernel has no network namespaces (CONFIG_NET_NS): nodes on this machine need them.")


def run(command: list[str], lines: list[str] | None = None, pass_fds: tuple[int, ...] = ()) -> str:
    """The output of a program of the system, which gets the lines on its standard input, and these open files.

    Raises:
        LabError: the program failed; the sentence has its own words and, where it is known, the reason.
    """
    finished = subprocess.run(
        command,
        input="\n".join([*(lines or []), ""]),
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
        env={"PATH": SEARCH_PATH, "LC_ALL": "C"},
        pass_fds=pass_fds,
    )
    if finished.returncode == 0:
        return finished.stdout
    said = " ".join(finished.stderr.split())
    hint = ""
    if "not permitted" in said or "Permission denied" in said:
        hint = " Root lacks the rights here: in a container, start it with --privileged."
    elif "Unknown device type" in said or "not supported" in said:
        hint = (
            " The kernel lacks a part: the lab needs veth, bridge and network namespaces (try: modprobe veth bridge)."
        )
    raise LabError(f"`{' '.join(command)}` failed: {said or finished.returncode}.{hint}")


def run_ip(namespace: str | None, lines: list[str]) -> None:
    """Give `ip` its lines inside a namespace; None is the machine itself."""
    run([*_ip(namespace), "-batch", "-"], lines)


def interfaces(namespace: str | None) -> dict[str, dict[str, Any]]:
    """The interfaces of a namespace as `ip -json address` tells them, by name."""
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
    """Whether the namespace has an IPv4 default route; one that is not there has none."""
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
    """The kernel's name for this boot: namespaces and interfaces end with it, files do not."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def processes(state_dir: Path) -> list[Process]:
    """Every process that is apart from the machine by its network or its mounts: all that could be a node's."""
    own = _namespaces_of(Path("/proc/self"))
    seen_by_mounts: dict[int, tuple[int, int] | None] = {}
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            network, mounts = _namespaces_of(entry)
            if (network, mounts) == own:
                continue
            if mounts not in seen_by_mounts:
                seen_by_mounts[mounts] = identity(Path(f"{entry}/root{state_dir}"))
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended while we looked
        except PermissionError:
            continue  # more is allowed to it than to us, so it cannot be one that we started
        found.append(Process(int(entry.name), network, seen_by_mounts[mounts]))
    return found


def identity(path: Path) -> tuple[int, int] | None:
    """What makes a folder the same folder under two names; None where there is none."""
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return (status.st_dev, status.st_ino)


def program(pid: int) -> str:
    """The name of a process's program, cut to 15 characters as the kernel does; nothing if it has ended."""
    return (read(Path(f"/proc/{pid}/comm")) or "").strip()


def end(pids: list[int], deadline_s: float = 5.0) -> None:
    """End processes: SIGTERM, and SIGKILL for those that are still there at the deadline.

    Raises:
        LabError: a process outlives SIGKILL.
    """
    handles = {}
    for pid in pids:
        try:
            handles[os.pidfd_open(pid)] = pid
        except ProcessLookupError:
            continue  # it ended by itself
    try:
        left = set(handles)
        for number in (signal.SIGTERM, signal.SIGKILL):
            for handle in left:
                try:
                    signal.pidfd_send_signal(handle, number)
                except ProcessLookupError:
                    continue
            left = _wait(left, deadline_s)
        if left:
            names = ", ".join(str(handles[handle]) for handle in sorted(left))
            raise LabError(
                f"Processes {names} do not end, not even by SIGKILL: look at them with `ps -o pid,stat,wchan`."
            )
    finally:
        for handle in handles:
            os.close(handle)


def greets(address: str, timeout_s: float) -> bool:
    """Whether an SSH server greets at port 22 of the address, asked once."""
    try:
        with socket.create_connection((address, 22), timeout=timeout_s) as connection:
            return connection.recv(4) == b"SSH-"
    except OSError:
        return False


def answers(address: str, deadline_s: float) -> bool:
    """Whether an SSH server greets at port 22 of the address before the deadline."""
    until = time.monotonic() + deadline_s
    while not greets(address, max(0.1, until - time.monotonic())):
        if time.monotonic() >= until:
            return False
        time.sleep(0.02)
    return True


def write(path: Path, text: str, mode: int) -> None:
    """Put a file in place whole or not at all, with these permissions from the start."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.new")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w", encoding="utf-8") as file:
        file.write(text)
    draft.replace(path)


def read(path: Path) -> str | None:
    """The text of a file, None where there is none."""
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None


def sockets(folder: Path) -> list[Path]:
    """The sockets in a folder."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if stat.S_ISSOCK(path.lstat().st_mode))


def _namespaces_of(process: Path) -> tuple[int, int]:
    return (process / "ns" / "net").stat().st_ino, (process / "ns" / "mnt").stat().st_ino


def _ip(namespace: str | None) -> list[str]:
    return ["ip"] if namespace is None else ["ip", "-netns", namespace]


def _wait(handles: set[int], deadline_s: float) -> set[int]:
    waiting = select.poll()
    for handle in handles:
        waiting.register(handle, select.POLLIN)
    left = set(handles)
    until = time.monotonic() + deadline_s
    while left and (rest := until - time.monotonic()) > 0:
        for handle, _event in waiting.poll(rest * 1000):
            waiting.unregister(handle)
            left.discard(handle)
    return left
