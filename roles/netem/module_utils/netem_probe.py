"""UDP probes between two nodes: when each was sent and arrived, each way, and which never did.

One exchange measures both directions: a reply carries when the probe arrived (the kernel's time stamp, so a
responder that waits for a CPU does not count) and which of the last 256 probes had arrived by then, so a lost probe
and a lost reply are told apart. Standard library only.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import select
import signal
import socket
import struct
import time
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ansible.module_utils.netem_stream import bind, drain, listen, opened_socket

if TYPE_CHECKING:
    from collections.abc import Callable

SO_TIMESTAMPNS = 35
PROBE = struct.Struct("!IIQ")  # session, number, sent
REPLY = struct.Struct("!IIQQQIII32s")  # the probe; arrived, answered, how many before it, clock, window
WINDOW = 256
PRIORITY = 10  # SCHED_FIFO, where allowed: below the emulators (20), above what else the node does
SESSIONS_MAX = 256
NUMBER_MAX = 1_000_000  # what is larger is not from us
WAITS, WAITS_LEAST, LATENESS_S = 200, 30, 2  # how often a node is asked how punctual it is, and for how long in all
WARM_UP = 20  # neighbours get resolved and caches filled by probes that do not count
TAIL = 8  # probes after the last that counts: their replies say whether that one arrived
LINGER_SECONDS = 0.4
NAME = "fb-responder"


def clock_id() -> int:
    """Return a number that is the same on nodes that share a clock: those of one booted kernel."""
    return zlib.crc32(Path("/proc/sys/kernel/random/boot_id").read_bytes())


def open_socket(address: str, port: int) -> socket.socket:
    """Return a UDP socket whose messages come with the kernel's time stamps; raises as `netem_stream.bind`."""
    opened = opened_socket(socket.SOCK_DGRAM, address)
    bind(opened, address, port)
    opened.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    opened.setblocking(False)
    return opened


def receive(opened: socket.socket) -> tuple[bytes, int, Any] | None:
    """Return the next message, when it arrived (ns since the epoch) and from where; None when there is none."""
    try:
        message, attached, _, sender = opened.recvmsg(512, 64)
    except (BlockingIOError, ConnectionRefusedError):
        return None
    seconds, nanoseconds = struct.unpack_from("qq", attached[0][2])
    return message, seconds * 1_000_000_000 + nanoseconds, sender


def be_punctual() -> None:
    """Ask for a CPU as soon as a message or a timer wants one; a plain priority has to do where that is refused."""
    with contextlib.suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(PRIORITY))


def respond(opened: socket.socket, seconds: float) -> None:
    """Answer probes until the time is over."""
    be_punctual()
    clock = clock_id()
    sessions: dict[int, tuple[int, int]] = {}
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        select.select([opened], [], [], left)
        while (got := receive(opened)) is not None:
            message, arrived, sender = got
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


def start_responder(address: str, port: int, seconds: float) -> None:
    """Answer probes, and take what TCP sends, from processes of their own that end by themselves."""
    with open_socket(address, port) as datagrams, listen(address, port) as connections:
        _detach(lambda: respond(datagrams, seconds))
        _detach(lambda: drain(connections, seconds))


def _detach(work: Callable[[], None]) -> None:
    if os.fork():
        return
    try:
        os.setsid()
        nothing = os.open(os.devnull, os.O_RDWR)
        for standard in (0, 1, 2):
            os.dup2(nothing, standard)
        Path("/proc/self/comm").write_text(NAME)
        work()
    finally:
        os._exit(0)


def responders() -> list[int]:
    """Return the pids of this node's responders: by name and network namespace, for nodes may share a machine."""
    found = []
    here = os.readlink("/proc/self/ns/net")
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):  # it ended while we looked
                if (entry / "comm").read_text().strip() == NAME and os.readlink(entry / "ns" / "net") == here:
                    found.append(int(entry.name))
    return found


def stop_responders() -> int:
    """End this node's responders and return how many there were."""
    found = responders()
    for pid in found:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return len(found)


def measure(source: str, target: str, port: int, probes: int, interval_ms: float, wait_ms: float = 0) -> dict[str, Any]:
    """Probe one peer and return what happened to each probe.

    Args:
        source: this node's address on the data network.
        target: the peer's, where a responder listens on port.
        port: UDP.
        probes: how many count.
        interval_ms: between two of them.
        wait_ms: how long this node waits for a timer when it is asked how punctual it is; a CPU that was idle for longer
            is later. Nothing is asked with 0.

    Returns:
        sent, interval_ms; arrived (of them, at the peer); answered (replies that came back); forward_ns, backward_ns and
        round_trip_ns (one entry an answered probe, in order of sending; the round trip without the peer's own time);
        late_ns (how much longer than wait_ms each wait took: by the node's timer, and by the way from an interrupt to this
        process); woken_ns (that way alone, from a reply's arrival in the kernel);
        forward_duplicated (probes that the peer received twice); forward_reordered, backward_reordered (RFC 4737: arrived after a later one); shared_clock.
    """
    with open_socket(source, 0) as opened:
        opened.connect((target, port))
        be_punctual()
        _exchange(opened, WARM_UP, interval_ms)
        late_ns = lateness(wait_ms) if wait_ms > 0 else []
        replies, seen, received, woken_ns = _exchange(opened, probes, interval_ms)
    counted = [replies[number] for number in sorted(replies) if number < probes]
    return {
        "sent": probes,
        "interval_ms": interval_ms,
        "arrived": (seen & ((1 << probes) - 1)).bit_count(),
        "answered": len(counted),
        "forward_ns": [arrived - sent for sent, arrived, _, _, _, _ in counted],
        "backward_ns": [back - answered for _, _, answered, back, _, _ in counted],
        "round_trip_ns": [back - sent - (answered - arrived) for sent, arrived, answered, back, _, _ in counted],
        "late_ns": late_ns,
        "woken_ns": woken_ns,
        "forward_duplicated": received - seen.bit_count(),
        "forward_reordered": _reordered([number for _, number in sorted((r[4], n) for n, r in replies.items())]),
        "backward_reordered": _reordered([order for _, order in sorted((r[3], r[4]) for r in replies.values())]),
        "shared_clock": all(clock == clock_id() for *_, clock in counted),
    }


def lateness(wait_ms: float) -> list[int]:
    """Wait again and again, for LATENESS_S in all and WAITS times at most; return by how many ns each wait was longer."""
    late_ns: list[int] = []
    while len(late_ns) < max(min(WAITS, LATENESS_S * 1000 / wait_ms), WAITS_LEAST):
        due = time.monotonic_ns() + int(wait_ms * 1e6)
        select.select([], [], [], wait_ms / 1000)
        late_ns.append(time.monotonic_ns() - due)
    return late_ns


def _reordered(numbers: list[int]) -> int:
    highest, late = -1, 0
    for number in numbers:
        late += number < highest
        highest = max(highest, number)
    return late


class Exchange(NamedTuple):
    """What came back by number (sent, arrived, answered, back, order at the peer, clock), and how long we took to wake."""

    replies: dict[int, tuple[int, int, int, int, int, int]]
    seen: int
    received: int
    woken_ns: list[int]


def _exchange(opened: socket.socket, probes: int, interval_ms: float) -> Exchange:
    session = secrets.randbits(32)
    replies: dict[int, tuple[int, int, int, int, int, int]] = {}
    woken_ns: list[int] = []
    seen = received = 0
    number, interval = 0, interval_ms / 1000
    start = time.monotonic()
    last = start + (probes + TAIL) * interval
    while True:
        now = time.monotonic()
        due = start + number * interval
        if number < probes + TAIL and now >= due:
            with contextlib.suppress(ConnectionRefusedError, BlockingIOError):  # counts as lost
                opened.send(PROBE.pack(session, number, time.time_ns()))
            number += 1
            continue
        if now > last + LINGER_SECONDS or len(replies) == probes + TAIL:
            return Exchange(replies, seen, received, woken_ns)
        pause = min(due, last + LINGER_SECONDS) - now if number < probes + TAIL else 0.02
        woken, _, _ = select.select([opened], [], [], pause)
        awake = time.time_ns()
        while (got := receive(opened)) is not None:
            message, back, _ = got
            if woken and awake > back:
                woken_ns.append(awake - back)
            woken = []  # only the first is what it was woken for
            if len(message) != REPLY.size:
                continue
            of, which, sent, arrived, answered, order, clock, base, window = REPLY.unpack(message)
            if of == session:
                replies.setdefault(which, (sent, arrived, answered, back, order, clock))  # not a copy that came later
                seen |= int.from_bytes(window, "big") << base
                received = max(received, order + 1)
