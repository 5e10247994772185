"""Whether ports of a node can be reached by the others: it listens for a while, and they knock."""

from __future__ import annotations

import errno
import select
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING

from ansible.module_utils.node.process import detach, end, on_this_node

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ansible.module_utils.node.firewall import Port

# The name of the process that listens, in /proc/<pid>/comm.
NAME = "faasbed-ports"
KINDS = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}
KNOCKS = 3
KNOCK_S = 0.7


def _socket(port: Port, address: str) -> socket.socket:
    opened = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, KINDS[port.protocol])
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    return opened


def listen(address: str, ports: Iterable[Port], seconds: float) -> list[Port]:
    """Listen on ports from a process of its own that ends by itself; return those that another program has.

    Raises:
        OSError: the address is not this node's.
    """
    taken = []
    with ExitStack() as stack:
        opened = []
        for port in ports:
            one = stack.enter_context(_socket(port, address))
            try:
                one.bind((address, port.number))
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise
                taken.append(port)
                continue
            if port.protocol == "tcp":
                one.listen()
            opened.append(one)
        if opened:
            detach(NAME, lambda: _serve(opened, seconds), [one.fileno() for one in opened])
    return taken


def _serve(opened: Sequence[socket.socket], seconds: float) -> None:
    """Take connections and send datagrams back."""
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        for one in select.select(opened, [], [], left)[0]:
            with suppress(OSError):
                if one.type == socket.SOCK_STREAM:
                    one.accept()[0].close()
                else:
                    message, sender = one.recvfrom(64)
                    one.sendto(message, sender)


def silence() -> None:
    """End the processes that listen on this node."""
    end([pid for pid, name, _ in on_this_node() if name == NAME], "listeners of the preflight")


def unreachable(source: str, target: str, ports: Sequence[Port]) -> list[Port]:
    """Return the ports of a node, which listens on all of them, that do not answer.

    Args:
        source: this node's own address on the data network.
        target: the other node's.
        ports: of the other node.
    """
    if not ports:
        return []
    with ThreadPoolExecutor(len(ports)) as pool:
        answers = pool.map(lambda port: _answers(source, target, port), ports)
        return [port for port, answered in zip(ports, answers, strict=True) if not answered]


def _answers(source: str, target: str, port: Port) -> bool:
    with _socket(port, source) as opened:
        opened.settimeout(KNOCK_S if port.protocol == "udp" else KNOCKS * KNOCK_S)
        try:
            opened.bind((source, 0))
            opened.connect((target, port.number))
            if port.protocol == "tcp":
                return True
        except OSError:
            return False
        for _ in range(KNOCKS):  # a link that is in force may lose one
            with suppress(OSError):
                opened.send(NAME.encode())
                if opened.recv(64) == NAME.encode():
                    return True
    return False
