"""Whether connections cross the links: no round trip over two links is shorter than the delays that they add.

The kernel measures round trips on each connection, from each segment to its acknowledgement. Their minimum is not
moved by what else takes time: a busy peer, queues, the function. A connection whose smallest round trip is shorter
than the lowest delays of the links there and back has not crossed both of them. Where delays vary, the lowest ones of
both links are far below their mean, and a connection that crossed only one of them may be slower still; so the mean
of several connections is judged, too, before anything is measured.
"""

from __future__ import annotations

import math
import select
import socket
import statistics
import struct
import time
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence

# struct tcp_info in include/uapi/linux/tcp.h, up to tcpi_min_rtt, which is there since Linux 4.6.
TCP_INFO_BYTES, TOTAL_RETRANS_AT, MIN_RTT_AT = 152, 100, 148
# What tcpi_min_rtt is before the first measurement.
NO_ROUND_TRIP = 2**32 - 1
# The emulator sends a frame up to 0.04 ms before its time, so that it arrives in time.
EARLY_MS = 0.1
# The round trip of a segment that was sent again is told by TCP's timestamps, which count milliseconds.
TIMESTAMP_MS = 1.0
# How many connections tell the mean, and how many of its standard errors are no chance (3e-7 for a normal mean).
CONNECTIONS = 30
STANDARD_ERRORS = 5.0
ADVICE = "; see by which addresses and interfaces the two nodes reach each other (ip route get)"


class Delays(msgspec.Struct, frozen=True):
    """What a link adds to each frame, as roles/netem answers: the lowest delay, the mean, the standard deviation."""

    lowest_ms: float
    mean_ms: float
    sigma_ms: float

    def and_back(self, back: Delays) -> Delays:
        """Return what this link and the one back add to a round trip."""
        return Delays(
            self.lowest_ms + back.lowest_ms, self.mean_ms + back.mean_ms, math.hypot(self.sigma_ms, back.sigma_ms)
        )


NOTHING = Delays(0.0, 0.0, 0.0)


class RoundTrip(msgspec.Struct, frozen=True):
    """What the kernel has measured on a connection: the smallest round trip, and how many segments it sent again."""

    min_rtt_ms: float
    retransmissions: int

    @property
    def at_most_ms(self) -> float:
        """The smallest round trip, where it was measured too small by as much as it can have been."""
        return self.min_rtt_ms + EARLY_MS + (TIMESTAMP_MS if self.retransmissions else 0.0)


def round_trip(connection: socket.socket) -> RoundTrip | None:
    """Return what the kernel has measured on a connection, ``None`` where it has not measured a round trip yet.

    Raises:
        OSError: the connection has ended.
    """
    info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, TCP_INFO_BYTES)
    if len(info) < TCP_INFO_BYTES:
        return None
    (microseconds,) = struct.unpack_from("I", info, MIN_RTT_AT)
    (retransmissions,) = struct.unpack_from("I", info, TOTAL_RETRANS_AT)
    return None if microseconds == NO_ROUND_TRIP else RoundTrip(microseconds / 1000, retransmissions)


def problem(node: str, measured: RoundTrip | None, links: Delays) -> str | None:
    """Return, as a sentence, that a connection to a node cannot have crossed these links; ``None`` where it can."""
    if measured is None or measured.at_most_ms >= links.lowest_ms:
        return None
    return (
        f"requests to {node} did not cross the links: the smallest round trip of the connection was "
        f"{measured.min_rtt_ms:.3f} ms, the links there and back add at least {links.lowest_ms:.3f} ms{ADVICE}"
    )


def problem_of_several(node: str, measured: Sequence[RoundTrip], links: Delays) -> str | None:
    """Return, as a sentence, that connections to a node did not cross these links; ``None`` where they may have."""
    if not measured:
        return None
    mean_ms = statistics.fmean(one.at_most_ms for one in measured)
    if mean_ms >= links.mean_ms - STANDARD_ERRORS * links.sigma_ms / math.sqrt(len(measured)):
        return None
    seen_ms = statistics.fmean(one.min_rtt_ms for one in measured)
    return (
        f"requests to {node} do not cross the links: connections have a round trip of {seen_ms:.3f} ms (mean of "
        f"{len(measured)}), the links there and back add {links.mean_ms:.3f} ms on average{ADVICE}"
    )


def connect(url: str, timeout_s: float, source: str | None = None) -> list[RoundTrip]:
    """Open several connections at once, and return what the kernel has measured on those that came about.

    Args:
        url: of whoever listens.
        timeout_s: how long to wait for them.
        source: this node's address from which to connect; None for any.
    """
    parsed = urlsplit(url)
    family, kind, protocol, _, address = socket.getaddrinfo(
        parsed.hostname, parsed.port or 80, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST
    )[0]
    until = time.monotonic() + timeout_s
    measured = []
    with ExitStack() as stack:
        poll, waiting = select.poll(), {}
        for _ in range(CONNECTIONS):
            connection = stack.enter_context(socket.socket(family, kind, protocol))
            connection.setblocking(False)
            if source is not None:
                connection.bind((source, 0))
            connection.connect_ex(address)
            poll.register(connection, select.POLLOUT)
            waiting[connection.fileno()] = connection
        while waiting and (left_s := until - time.monotonic()) > 0:
            for descriptor, _ in poll.poll(left_s * 1000):
                poll.unregister(descriptor)
                with suppress(OSError):  # refused
                    measured.append(round_trip(waiting.pop(descriptor)))
    return [one for one in measured if one is not None]
