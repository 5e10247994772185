"""UDP probes between two nodes: when each was sent and arrived, each way, and which never did.

One exchange measures both directions: a reply carries when the probe arrived (the kernel's time stamp, so a
responder that waits for a CPU does not count) and which of the last 256 probes had arrived by then, so a lost probe
and a lost reply are told apart. Between two probes goes one by a port that no link shapes: what the path and the
machines do by themselves is seen at the same time. Standard library only.
"""

from __future__ import annotations

import contextlib
import math
import os
import secrets
import select
import socket
import struct
import time
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ansible.module_utils.node.process import detach, end, on_this_node

from .measurement import Measurement, Probes
from .stream import bind, drain, listen, opened_socket

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

SO_TIMESTAMPNS = 35
PROBE = struct.Struct("!IIQ")  # session, number, sent
REPLY = struct.Struct("!IIQQQIII32s")  # the probe; arrived, answered, how many before it, clock, window
WINDOW = 256
PRIORITY = 10  # SCHED_FIFO, where allowed: below the emulators (20), above what else the node does
SESSIONS_MAX = 256
NUMBER_MAX = 1_000_000  # what is larger is not from us
WAITS, WAITS_LEAST, LATENESS_S = 200, 30, 1  # how often a node is asked how punctual it is, and for how long in all
WARM_UP = 20  # neighbours get resolved and caches filled by probes that do not count
TAIL = 8  # probes after the last that counts: their replies say whether that one arrived
LINGER_SECONDS = 0.4
NAME = "fb-responder"


def clock_id() -> int:
    """Return a number that is the same on nodes that share a clock: those of one booted kernel."""
    return zlib.crc32(Path("/proc/sys/kernel/random/boot_id").read_bytes())


def open_socket(address: str, port: int) -> socket.socket:
    """Return a UDP socket whose messages come with the kernel's time stamps; raises as `stream.bind`."""
    opened = opened_socket(socket.SOCK_DGRAM, address)
    bind(opened, address, port)
    opened.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    opened.setblocking(False)
    return opened


def receive(opened: socket.socket) -> tuple[bytes, int, Any] | None:
    """Return the next message, when it arrived (ns since the epoch) and from where; None when there is none."""
    try:
        message, attached, _, sender = opened.recvmsg(512, 64)
    except OSError:  # none, or what a probe before was answered with: a firewall that rejects it, a port that is closed
        return None
    seconds, nanoseconds = struct.unpack_from("qq", attached[0][2])
    return message, seconds * 1_000_000_000 + nanoseconds, sender


def received(opened: socket.socket) -> Iterator[tuple[bytes, int, Any]]:
    """Yield the messages that have arrived."""
    while (got := receive(opened)) is not None:
        yield got


def be_punctual() -> None:
    """Ask for a CPU as soon as a message or a timer wants one; a plain priority has to do where that is refused."""
    with contextlib.suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(PRIORITY))


def respond(sockets: Sequence[socket.socket], seconds: float) -> None:
    """Answer probes until the time is over."""
    be_punctual()
    clock = clock_id()
    sessions: dict[int, tuple[int, int]] = {}
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        ready, _, _ = select.select(sockets, [], [], left)
        for opened, (message, arrived, sender) in ((one, got) for one in ready for got in received(one)):
            if time.monotonic() > end:  # however many come
                return
            if len(message) != PROBE.size:
                continue
            session, number, sent = PROBE.unpack(message)
            if number > NUMBER_MAX:
                continue
            count, seen = sessions.get(session, (0, 0))
            seen |= 1 << number
            if len(sessions) >= SESSIONS_MAX and session not in sessions:
                sessions.pop(next(iter(sessions)))
            sessions[session] = (count + 1, seen)
            base = max(0, seen.bit_length() - WINDOW)
            window = (seen >> base & (1 << WINDOW) - 1).to_bytes(WINDOW // 8, "big")
            answer = REPLY.pack(session, number, sent, arrived, time.time_ns(), count, clock, base, window)
            with contextlib.suppress(OSError):  # a full queue loses the reply, as the network would
                opened.sendto(answer, sender)


def start_responder(address: str, port: int, control_port: int, seconds: float) -> None:
    """Answer probes, and take what TCP sends, from processes of their own that end by themselves."""
    with (
        open_socket(address, port) as datagrams,
        open_socket(address, control_port) as control,
        listen(address, port) as connections,
    ):
        detach(NAME, lambda: respond((datagrams, control), seconds))
        detach(NAME, lambda: drain(connections, seconds))


def responders() -> list[int]:
    """Return the pids of this node's responders."""
    return [pid for pid, name, _ in on_this_node() if name == NAME]


def stop_responders() -> int:
    """End this node's responders and return how many there were."""
    pids = responders()
    end(pids, "responders")
    return len(pids)


def measure(
    source: str,
    target: str,
    port: int,
    probes: int,
    interval_ms: float,
    *,
    control_port: int | None = None,
    wait_ms: float = 0,
) -> Measurement:
    """Probe one peer and return what happened to each probe, and to this machine meanwhile.

    Args:
        source: this node's address on the data network.
        target: the peer's, where a responder listens on port.
        port: UDP.
        probes: how many count.
        interval_ms: between two of them, and half of it at least.
        control_port: UDP, shaped by no link; half an interval after each probe one goes there. None for no such.
        wait_ms: how long this node waits for a timer when it is asked how punctual it is; a CPU that was idle for longer
            is later. Nothing is asked with 0.
    """
    with contextlib.ExitStack() as stack:
        lanes = []
        for number in (port, control_port):
            if number is not None:
                opened = stack.enter_context(open_socket(source, 0))
                opened.connect((target, number))
                lanes.append(opened)
        be_punctual()
        _exchange(lanes, WARM_UP, interval_ms)
        late_ns = lateness(wait_ms) if wait_ms > 0 else []
        stolen, whole = _cpu_time()
        over_link, *control = (_outcome(one, probes, interval_ms) for one in _exchange(lanes, probes, interval_ms))
        stolen_then, whole_then = _cpu_time()
    return Measurement(
        over_link,
        control=control[0] if control else None,
        family=6 if ":" in source else 4,
        late_ns=tuple(late_ns),
        stolen=(stolen_then - stolen) / max(whole_then - whole, 1),
    )


def _cpu_time() -> tuple[int, int]:
    """Return what a hypervisor took of this machine's CPU time so far, and all of it, in ticks (proc(5), `/proc/stat`)."""
    ticks = [int(word) for word in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    return ticks[7], sum(ticks)


def _outcome(lane: Lane, probes: int, interval_ms: float) -> Probes:
    replies = {number: reply for number, reply in sorted(lane.replies.items()) if number < probes}
    if len(replies) > 1:  # as it came to be
        (first, earliest), *_, (last, latest) = replies.items()
        interval_ms = (latest.sent - earliest.sent) / 1e6 / (last - first)
    return Probes(
        sent=probes,
        interval_ms=interval_ms,
        arrived=(lane.seen & ((1 << probes) - 1)).bit_count(),
        answered=len(replies),
        forward_ns=tuple(one.arrived - one.sent for one in replies.values()),
        backward_ns=tuple(one.back - one.answered for one in replies.values()),
        round_trip_ns=tuple(one.back - one.sent - (one.answered - one.arrived) for one in replies.values()),
        shared_clock=all(one.clock == clock_id() for one in replies.values()),
        forward_reordered=_reordered(sorted(replies, key=lambda number: replies[number].order)),
        backward_reordered=_reordered([one.order for one in sorted(replies.values(), key=lambda one: one.back)]),
        forward_duplicated=lane.received - lane.seen.bit_count(),
    )


def lateness(wait_ms: float) -> list[int]:
    """Wait again and again, for LATENESS_S in all and WAITS times at most; return by how many ns each wait was longer."""
    late_ns: list[int] = []
    while len(late_ns) < max(min(WAITS, LATENESS_S * 1000 / wait_ms), WAITS_LEAST):
        due = time.monotonic_ns() + int(wait_ms * 1e6)
        select.select([], [], [], wait_ms / 1000)
        late_ns.append(time.monotonic_ns() - due)
    return late_ns


def _reordered(numbers: Iterable[int]) -> int:
    highest, late = -1, 0
    for number in numbers:
        late += number < highest
        highest = max(highest, number)
    return late


class Reply(NamedTuple):
    """What is known of a probe that was answered: four times in ns, its place among the peer's, the peer's clock."""

    sent: int
    arrived: int
    answered: int
    back: int
    order: int
    clock: int


@dataclass
class Lane:
    """Probes to one port, and what came back of them: by number; which the peer saw, and how many."""

    opened: socket.socket
    session: int = field(default_factory=lambda: secrets.randbits(32))
    replies: dict[int, Reply] = field(default_factory=dict)
    seen: int = 0
    received: int = 0
    sent: int = 0  # their numbers are 0 to sent - 1
    sent_s: float = -math.inf  # when the last one was sent

    def send(self, number: int) -> None:
        """Send a probe; one that the node's own queue or firewall refuses counts as lost."""
        with contextlib.suppress(OSError):
            self.opened.send(PROBE.pack(self.session, number, time.time_ns()))
        self.sent = max(self.sent, number + 1)
        self.sent_s = time.monotonic()

    def take(self) -> None:
        """Take the replies that have arrived; one that names probes that were not sent is ignored."""
        for message, back, _ in received(self.opened):
            if len(message) != REPLY.size:
                continue
            session, number, sent, arrived, answered, order, clock, base, window = REPLY.unpack(message)
            seen = int.from_bytes(window, "big")
            last = max(number, base + max(seen.bit_length() - 1, 0))
            if session != self.session or last >= self.sent or order > NUMBER_MAX:
                continue
            # not a copy that came later
            self.replies.setdefault(number, Reply(sent, arrived, answered, back, order, clock))
            self.seen |= seen << base
            self.received = max(self.received, order + 1)


def _exchange(sockets: Sequence[socket.socket], probes: int, interval_ms: float) -> list[Lane]:
    """Send by each socket in turn, evenly spaced where the CPU allows it, and take what comes back."""
    lanes = [Lane(opened) for opened in sockets]
    gap, count = interval_ms / 1000 / len(lanes), (probes + TAIL) * len(lanes)
    start = due = time.monotonic()
    end, sent = math.inf, 0
    while (now := time.monotonic()) <= end and any(len(lane.replies) < probes + TAIL for lane in lanes):
        if sent < count and now >= due:
            lanes[sent % len(lanes)].send(sent // len(lanes))
            sent += 1
            # A late one makes up for it bit by bit: probes of a lane that it sent at once would be reordered.
            due = max(start + sent * gap, lanes[sent % len(lanes)].sent_s + interval_ms / 2000)
            end = now + LINGER_SECONDS if sent == count else math.inf
            continue
        ready, _, _ = select.select(sockets, [], [], due - now if sent < count else 0.02)
        for lane in lanes:
            if lane.opened in ready:
                lane.take()
    return lanes
