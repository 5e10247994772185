"""UDP probes between two nodes: when each was sent and arrived, each way, and which never did.

One exchange measures both directions: a reply carries when the probe arrived (the kernel's time stamp, so a
responder that waits for a CPU does not count) and which of the last 256 probes had arrived by then, so a lost probe
and a lost reply are told apart. Between two probes goes one by a port that no link shapes: what the path and the
machines do by themselves is seen at the same time. Standard library only.
"""

from __future__ import annotations

import contextlib
import json
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

from .addresses import listed, own
from .emulator import read_counters
from .measurement import Measurement, Probes
from .stream import bind, drain, listen, opened_socket

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

SO_TIMESTAMPNS = 35
PROBE = struct.Struct("!IIQ")  # session, number, sent
REPLY = struct.Struct("!IIQQQIII32s")  # the probe; arrived, answered, how many before it, clock, window
WINDOW = 256
PRIORITY = 10  # SCHED_FIFO, where allowed: below the emulators (20), above what else the node does
SESSIONS_MAX = 1024
NUMBER_MAX = 1_000_000  # what is larger is not from us
WAITS, WAITS_LEAST, LATENESS_S = 200, 30, 1  # how often a node is asked how punctual it is, and for how long in all
WARM_UP = 20  # neighbours get resolved and caches filled by probes that do not count
TAIL = 8  # probes after the last that counts: their replies say whether that one arrived
LINGER_SECONDS = 0.4
ASKED, ASK_S, ASK_AGAIN_S = b"faasbed: counters?", 1.0, 0.2
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


@contextlib.contextmanager
def punctual() -> Iterator[None]:
    """Have a CPU as soon as a message or a timer wants one, and no longer: what is started later would have it, too.

    A plain priority has to do where that is refused; a container may refuse the call itself, the way back, too.
    """
    policy, before = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(PRIORITY))
    except PermissionError:
        yield
        return
    try:
        yield
    finally:
        os.sched_setscheduler(0, policy, before)


@punctual()
def respond(
    sockets: Sequence[socket.socket], seconds: float, counters: Callable[[str], Mapping[str, Any]] | None = None
) -> None:
    """Answer probes until the time is over.

    Args:
        sockets: where they arrive.
        seconds: for how long.
        counters: what this node's emulator counted on its link to an address, for the node that has it and asks.
    """
    clock = clock_id()
    sessions: dict[int, tuple[int, int]] = {}
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        ready, _, _ = select.select(sockets, [], [], left)
        for opened, (message, arrived, sender) in ((one, got) for one in ready for got in received(one)):
            if time.monotonic() > end:  # however many come
                return
            if message == ASKED and counters is not None:
                with contextlib.suppress(OSError):
                    opened.sendto(json.dumps(counters(sender[0])).encode(), sender)
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


def start_responder(
    address: str, port: int, control_port: int, seconds: float, counters: Callable[[str], Mapping[str, Any]]
) -> None:
    """Answer probes, and take what TCP sends, from processes of their own that end by themselves; see `respond`."""
    with (
        open_socket(address, port) as datagrams,
        open_socket(address, control_port) as control,
        listen(address, port) as connections,
    ):
        detach(NAME, lambda: respond((datagrams, control), seconds, counters), (datagrams.fileno(), control.fileno()))
        detach(NAME, lambda: drain(connections, seconds), (connections.fileno(),))


class Ports(NamedTuple):
    """Where a node answers probes, and for how long."""

    port: int
    control_port: int
    seconds: int

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> Ports:
        """Return those of a module's options."""
        return cls(options["port"], options["control_port"], options["seconds"])


def answer(node: str, addresses: Mapping[str, Any], folder: Path, interface: str, ports: Ports) -> None:
    """Answer probes at each of a node's own addresses, in place of what answered before.

    Args:
        node: this one.
        addresses: of all nodes, as the modules' options have them.
        folder: where this node keeps the role's state.
        interface: the data interface.
        ports: where, and for how long.
    """
    everyone = listed(addresses)
    host_of = {address: host for host, several in everyone.items() for address in own(host, several).values()}

    def counters(address: str) -> dict[str, Any]:
        host = host_of.get(address)  # whoever asks names no file
        return read_counters(folder, interface, host) if host else {}

    stop_responders()
    for address in own(node, everyone.get(node, ())).values():
        start_responder(address, ports.port, ports.control_port, ports.seconds, counters)


def responders() -> list[int]:
    """Return the pids of this node's responders."""
    return [pid for pid, name, _ in on_this_node() if name == NAME]


def stop_responders() -> int:
    """End this node's responders and return how many there were."""
    pids = responders()
    end(pids, "responders")
    return len(pids)


def ask_counters(source: str, target: str, control_port: int) -> dict[str, Any]:
    """Return what the emulator of a peer counted on its link to this node; empty where it has none, or does not say."""
    with open_socket(source, 0) as opened:
        opened.connect((target, control_port))
        until = time.monotonic() + ASK_S
        while time.monotonic() < until:
            with contextlib.suppress(OSError):
                opened.send(ASKED)
            select.select([opened], [], [], ASK_AGAIN_S)
            for message, _, _ in received(opened):
                with contextlib.suppress(ValueError):
                    told = json.loads(message)
                    if isinstance(told, dict):
                        return told
    return {}


class Exchange(NamedTuple):
    """What probing a peer returned: of the link there, and of the one back, by the replies."""

    there: Measurement
    back: Measurement


def measure(
    pairs: Sequence[tuple[str, str]],
    port: int,
    probes: int,
    interval_ms: float,
    *,
    control_port: int | None = None,
    control_every: int = 1,
    probes_per_s: float = math.inf,
    wait_ms: Sequence[float] = (),
) -> list[Exchange]:
    """Probe peers, all at once, and return what happened to each probe and reply, and to this machine meanwhile.

    Args:
        pairs: for each peer, this node's address on the data network and the peer's, where a responder listens on port.
        port: UDP.
        probes: how many count, to each peer.
        interval_ms: between two of them, and half of it at least.
        control_port: UDP, shaped by no link; half-way to the next probe one goes there. None for no such.
        control_every: after how many probes to a peer.
        probes_per_s: how many this node sends in all: with many peers they are further apart.
        wait_ms: how long this node waits for a timer when it is asked how punctual it is, for each peer; a CPU that was
            idle for longer is later. Nothing is asked with 0.
    """
    if not pairs:
        return []
    each = 1 + (1 / control_every if control_port is not None else 0)
    interval_ms = max(interval_ms, len(pairs) * each / probes_per_s * 1000)
    with contextlib.ExitStack() as stack:
        lanes: list[Peer] = []
        for source, target in pairs:
            opened = [stack.enter_context(_connected(source, target, port))]
            if control_port is not None:
                opened.append(stack.enter_context(_connected(source, target, control_port)))
            lanes.append(Peer(*opened))
        stack.enter_context(punctual())
        _exchange([peer.afresh() for peer in lanes], WARM_UP, interval_ms, control_every)
        late_ns = {wait: lateness(wait) for wait in sorted(set(wait_ms)) if wait > 0}
        stolen, whole = _cpu_time()
        peers = [peer.afresh() for peer in lanes]
        _exchange(peers, probes, interval_ms, control_every)
        stolen_then, whole_then = _cpu_time()
    share = (stolen_then - stolen) / max(whole_then - whole, 1)
    controls = -(-probes // control_every)
    exchanges = []
    for number, (peer, (source, _)) in enumerate(zip(peers, pairs, strict=True)):
        late = tuple(late_ns.get(wait_ms[number], ())) if wait_ms else ()
        ways = [
            Measurement(
                outcome(peer.link, probes, interval_ms),
                control=outcome(peer.control, controls, interval_ms) if peer.control else None,
                family=6 if ":" in source else 4,
                late_ns=late,
                stolen=share,
            )
            for outcome in (_outcome, _outcome_back)
        ]
        exchanges.append(Exchange(*ways))
    return exchanges


def _connected(source: str, target: str, port: int) -> socket.socket:
    opened = open_socket(source, 0)
    opened.connect((target, port))
    return opened


def _cpu_time() -> tuple[int, int]:
    """Return what a hypervisor took of this machine's CPU time so far, and all of it, in ticks (proc(5), `/proc/stat`)."""
    ticks = [int(word) for word in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    return ticks[7], sum(ticks)


def _outcome(lane: Lane, probes: int, interval_ms: float) -> Probes:
    replies: dict[int, Reply] = {}
    for one in sorted(lane.replies.values(), key=lambda one: (one.number, one.order)):
        if one.number < probes:
            replies.setdefault(one.number, one)  # not a copy that came later
    if len(replies) > 1:  # as it came to be
        (first, earliest), *_, (last, latest) = replies.items()
        interval_ms = (latest.sent - earliest.sent) / 1e6 / (last - first)
    return Probes(
        sent=probes,
        interval_ms=interval_ms,
        arrived=(lane.seen & ((1 << probes) - 1)).bit_count(),
        answered=len(replies),
        forward_ns=tuple(one.there_ns for one in replies.values()),
        backward_ns=tuple(one.back_ns for one in replies.values()),
        round_trip_ns=tuple(one.there_ns + one.back_ns for one in replies.values()),
        shared_clock=all(one.clock == clock_id() for one in replies.values()),
        forward_reordered=_reordered(sorted(replies, key=lambda number: replies[number].order)),
        backward_reordered=_reordered([one.order for one in sorted(replies.values(), key=lambda one: one.back)]),
        forward_duplicated=lane.received - lane.seen.bit_count(),
    )


def _outcome_back(lane: Lane, probes: int, interval_ms: float) -> Probes:
    """Return the same of the way back, by the replies: the peer counts what it receives, and answers all of it."""
    sent = min(lane.received, probes)
    replies = [one for order, one in sorted(lane.replies.items()) if order < sent]
    return Probes(
        sent=sent,
        interval_ms=interval_ms,
        arrived=len(replies),
        answered=len(replies),
        forward_ns=tuple(one.back_ns for one in replies),
        backward_ns=tuple(one.there_ns for one in replies),
        round_trip_ns=tuple(one.there_ns + one.back_ns for one in replies),
        shared_clock=all(one.clock == clock_id() for one in replies),
        forward_reordered=_reordered([one.order for one in sorted(replies, key=lambda one: one.back)]),
        forward_duplicated=lane.copies,
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
    """What is known of a probe that was answered: its number, four times in ns, its place among the peer's, the peer's clock."""

    number: int
    sent: int
    arrived: int
    answered: int
    back: int
    order: int
    clock: int

    @property
    def there_ns(self) -> int:
        """How long the probe took."""
        return self.arrived - self.sent

    @property
    def back_ns(self) -> int:
        """How long the reply took."""
        return self.back - self.answered


@dataclass
class Lane:
    """Probes to one port, and what came back of them: by their place at the peer; which that saw, and how many."""

    opened: socket.socket
    session: int = field(default_factory=lambda: secrets.randbits(32))
    replies: dict[int, Reply] = field(default_factory=dict)
    seen: int = 0
    received: int = 0
    copies: int = 0  # of replies
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
            self.copies += order in self.replies
            self.replies.setdefault(order, Reply(number, sent, arrived, answered, back, order, clock))
            self.seen |= seen << base
            self.received = max(self.received, order + 1)


class Peer:
    """The lanes to one peer: over the link, and by the port that no link shapes."""

    def __init__(self, link: socket.socket, control: socket.socket | None = None) -> None:
        self.link = Lane(link)
        self.control = Lane(control) if control else None

    def afresh(self) -> Peer:
        """Return the same peer with nothing sent yet."""
        return Peer(self.link.opened, self.control.opened if self.control else None)


def _due(
    peers: Sequence[Peer], probes: int, interval_s: float, control_every: int
) -> Iterator[tuple[float, Lane, int]]:
    """Yield when to send what, in order: each peer's probes are evenly spaced, and apart from those to the others."""
    apart_s = interval_s / len(peers)
    for number in range(probes + TAIL):
        for place, peer in enumerate(peers):
            due_s = number * interval_s + place * apart_s
            yield due_s, peer.link, number
            turn, rest = divmod(number + place, control_every)
            if peer.control and not rest:
                yield due_s + apart_s / 2, peer.control, turn - -(-place // control_every)


def _exchange(peers: Sequence[Peer], probes: int, interval_ms: float, control_every: int = 1) -> None:
    """Send to all peers, evenly spaced where the CPU allows it, and take what comes back."""
    lanes = {lane.opened: lane for peer in peers for lane in (peer.link, peer.control) if lane}
    ahead = iter(_due(peers, probes, interval_ms / 1000, control_every))
    start = due = time.monotonic()
    following, end = next(ahead, None), math.inf
    while (now := time.monotonic()) <= end:
        if following is not None and now >= due:
            _, lane, number = following
            lane.send(number)
            if (following := next(ahead, None)) is None:
                end = now + LINGER_SECONDS
            else:
                # A late one makes up for it bit by bit: probes of a lane that it sent at once would be reordered.
                due = max(start + following[0], following[1].sent_s + interval_ms / 2000)
            continue
        if following is None and all(len(lane.replies) >= lane.sent for lane in lanes.values()):
            return
        ready, _, _ = select.select(lanes, [], [], due - now if following is not None else 0.02)
        for opened in ready:
            lanes[opened].take()
