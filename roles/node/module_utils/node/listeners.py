"""Which processes listen on a port of this node, by /proc/net/tcp (proc_net_tcp.txt of the kernel) and /proc/<pid>/fd."""

from __future__ import annotations

import ipaddress
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ansible.module_utils.node.process import processes

if TYPE_CHECKING:
    from collections.abc import Iterator

LISTEN = "0A"
COMMAND_CHARACTERS = 80


@dataclass(frozen=True)
class Listener:
    """A process that listens; of another user's, which only root may look at, no more than the user is known."""

    user: int
    pid: int | None = None
    command: str = ""

    def __str__(self) -> str:
        if self.pid is None:
            return f"a process of user {self.user}"
        return f"process {self.pid} ({self.command[:COMMAND_CHARACTERS]})"


def strangers(address: str, port: int, supervisor: Path) -> list[Listener]:
    """Return who listens on a port without being one of the supervisor's programs.

    Args:
        address: one of this node's; who listens on all of them has its port, too.
        port: of TCP.
        supervisor: the supervisor's file with its process id; there is none before its first start.
    """
    sockets = dict(_sockets(address, port))
    if not sockets:
        return []
    holders = dict(_holders(set(sockets)))
    own = _pid(supervisor)
    found = []
    for inode, user in sockets.items():
        pid = holders.get(inode)
        if pid is None:
            found.append(Listener(user))
        elif own is None or own not in _ancestors(pid):
            found.append(Listener(user, pid, _command(pid)))
    return found


def taken(node: str, address: str, port: int, holders: list[Listener]) -> str:
    """Return the sentence for a port that others have."""
    return (
        f"Port {port} of {address} on {node} is in use by another program: {', '.join(map(str, holders))}. "
        "End it, or give the service another port in function_services."
    )


def _sockets(address: str, port: int) -> Iterator[tuple[str, int]]:
    """Yield inode and user of each socket that listens there."""
    for table in ("tcp", "tcp6"):
        with suppress(FileNotFoundError):  # a kernel without IPv6
            for line in Path("/proc/net", table).read_text().splitlines()[1:]:
                fields = line.split()
                host, _, number = fields[1].partition(":")
                if fields[3] == LISTEN and int(number, 16) == port and _covers(_address(host), address):
                    yield fields[9], int(fields[7])


def _address(words: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """Read an address as the kernel prints it: words of 32 bits in the machine's order, little-endian here."""
    packed = b"".join(bytes.fromhex(words[at : at + 8])[::-1] for at in range(0, len(words), 8))
    read = ipaddress.ip_address(packed)
    return getattr(read, "ipv4_mapped", None) or read


def _covers(listens: ipaddress.IPv4Address | ipaddress.IPv6Address, address: str) -> bool:
    return listens.is_unspecified or listens == ipaddress.ip_address(address)


def _holders(inodes: set[str]) -> Iterator[tuple[str, int]]:
    """Yield which process has which of these sockets open, as far as this user may see."""
    names = {f"socket:[{inode}]": inode for inode in inodes}
    for pid, folder in processes():
        with suppress(OSError):  # another user's, or it has ended
            for descriptor in (folder / "fd").iterdir():
                with suppress(OSError):
                    if inode := names.get(str(descriptor.readlink())):
                        yield inode, pid


def _ancestors(pid: int) -> Iterator[int]:
    """Yield a process, its parent, and so on."""
    while pid > 0:
        yield pid
        try:
            pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        except OSError:  # it has ended
            return


def _pid(file: Path) -> int | None:
    try:
        return int(file.read_text())
    except (OSError, ValueError):
        return None


def _command(pid: int) -> str:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ")
    except OSError:
        return "it has ended"
    return " ".join(words.decode(errors="replace").split())
