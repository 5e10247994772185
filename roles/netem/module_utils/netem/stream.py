"""What one TCP connection gets through a link, and what the formula says that loss leaves it. Standard library only."""

from __future__ import annotations

import contextlib
import errno
import math
import select
import socket
import struct
import time

from ansible.module_utils.node.errors import NodeError

SEGMENT_BYTES = 1448  # of 1500, less the headers with time stamps
TCP_INFO = struct.Struct("16xI8xI88xQ")  # of linux/tcp.h: snd_mss, sacked (segments), bytes_acked
PART = bytes(1 << 17)
CONNECTIONS = 64  # of which data is taken; the oldest is closed for another one


def opened_socket(kind: socket.SocketKind, address: str) -> socket.socket:
    """Return a socket of this kind for the address' family."""
    return socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, kind)


def bind(opened: socket.socket, address: str, port: int) -> None:
    """Bind a socket, which is closed where that cannot be.

    Raises:
        NodeError: the address is not this node's, or the port is taken.
    """
    try:
        opened.bind((address, port))
    except OSError as error:
        protocol = "tcp" if opened.type == socket.SOCK_STREAM else "udp"
        opened.close()
        advice = "Set netem_probe_port."
        if error.errno == errno.EADDRNOTAVAIL:
            advice = "This node does not have that address: correct its data_address or netem_addresses."
        raise NodeError(f"cannot listen on {address} port {port}/{protocol}: {error.strerror}. {advice}") from error


def listen(address: str, port: int) -> socket.socket:
    """Return a listening TCP socket; raises as `bind`."""
    opened = opened_socket(socket.SOCK_STREAM, address)
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bind(opened, address, port)
    opened.listen()
    return opened


def drain(opened: socket.socket, seconds: float) -> None:
    """Take what connections send and throw it away, until the time is over."""
    connections: list[socket.socket] = []
    buffer = bytearray(1 << 18)
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        ready, _, _ = select.select([opened, *connections], [], [], left)
        for one in ready:
            if one is opened:
                with contextlib.suppress(OSError):  # it was closed meanwhile
                    connections.append(one.accept()[0])
                if len(connections) > CONNECTIONS:
                    connections.pop(0).close()
                continue
            if one.fileno() < 0:  # closed for another one just now
                continue
            got = 0
            with contextlib.suppress(OSError):
                got = one.recv_into(buffer)
            if not got:
                connections.remove(one)
                one.close()


def stream(source: str, target: str, port: int, seconds: float) -> float:
    """Send by one Reno connection as fast as it goes and return the Mbit/s that were acknowledged in the second half.

    Reno, because that is the congestion control that the formula is about.

    Raises:
        NodeError: nobody took the connection.
    """
    with opened_socket(socket.SOCK_STREAM, source) as sender:
        sender.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, b"reno")
        sender.settimeout(max(seconds, 5))
        try:
            sender.bind((source, 0))
            sender.connect((target, port))
        except OSError as error:
            raise NodeError(f"no TCP connection from {source} to {target} port {port}: {error}.") from error
        sender.settimeout(0.05)
        start = time.monotonic()
        middle: tuple[float, int] | None = None
        while (now := time.monotonic()) < start + seconds:
            if middle is None and now >= start + seconds / 2:
                middle = now, _acknowledged(sender)
            with contextlib.suppress(TimeoutError):
                sender.send(PART)
        if middle is None:
            return 0.0
        rate = (_acknowledged(sender) - middle[1]) * 8e-6 / (now - middle[0])
        # What is on its way still is not waited for: with a slow link that takes longer than all the rest.
        sender.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        return rate


def formula_mbit(round_trip_ms: float, loss: float, rate_mbit: float | None) -> float | None:
    """Return what random loss leaves one TCP connection: MSS / RTT * sqrt(3 / (2 p)), at most the link's rate.

    Mathis, Semke, Mahdavi and Ott, "The macroscopic behavior of the TCP congestion avoidance algorithm" (1997). None
    where neither loss nor rate limits it.
    """
    if loss <= 0 or round_trip_ms <= 0:
        return rate_mbit
    limited = SEGMENT_BYTES * 8 / 1000 / round_trip_ms * math.sqrt(1.5 / loss)
    return min(limited, rate_mbit) if rate_mbit else limited


def _acknowledged(sender: socket.socket) -> int:
    """How many bytes have arrived; those behind a gap as well, or its repair would count as a burst."""
    told = sender.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, TCP_INFO.size)
    segment_bytes, sacked, acked_bytes = TCP_INFO.unpack(told)
    return int(acked_bytes + sacked * segment_bytes)
