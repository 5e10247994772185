"""Delay, lose, repeat and damage the frames of all links that leave an interface, where the kernel has no `sch_netem`.

`tc` redirects what leaves the interface for the links' targets into one TAP. This program sees those frames through a
packet ring with the kernel's time stamps, tells by their destination which link each belongs to, holds it until its time
has come and puts it on the interface again, past the queueing disciplines, so that it does not meet the redirection
twice. Nobody reads the TAP itself: its filter drops every frame, so when this program is gone the links carry nothing
(fail closed).

    emulator.py LINKS.json       written by roles/netem: the links, their interface and the name of its TAP

SIGHUP reads LINKS.json again: frames that came before that was done keep the values of before. SIGTERM ends. A file
named after LINKS.json and a distribution has its table of steps; it is read once. LINKS.status beside it has the check sum
of what was read and when that took effect; INTERFACE-TARGET.status the counters of a link, current to 0.1 s: frames in,
out, lost, duplicated, corrupted; overrun (no room in the ring that all links share, in the link's own queue or in the
interface's); late (sent more than 0.1 ms after their time). Needs root. Standard library only: it is copied to the node
as it is.
"""

from __future__ import annotations

import array
import contextlib
import fcntl
import gc
import heapq
import ipaddress
import json
import math
import mmap
import os
import random
import select
import signal
import socket
import struct
import sys
import zlib
from collections import deque
from pathlib import Path
from time import monotonic_ns, time_ns
from typing import Any, NamedTuple, NoReturn

# linux/if_packet.h, if_tun.h, filter.h, sockios.h: what Python's socket module has no names for.
SOL_PACKET, PACKET_RX_RING, PACKET_STATISTICS, PACKET_VERSION, PACKET_QDISC_BYPASS = 263, 5, 6, 10, 20
TPACKET_V2, TP_STATUS_USER, ETH_P_ALL = 1, 1, 3
TUNSETIFF, TUNATTACHFILTER, IFF_TAP, IFF_NO_PI, IFF_TUN_EXCL = 0x400454CA, 0x401054D5, 0x2, 0x1000, 0x8000
SO_ATTACH_FILTER, SO_SNDBUFFORCE = 26, 32
SIOCSIFFLAGS, SIOCGIFMTU, SIOCSIFMTU, SIOCGIFHWADDR = 0x8914, 0x8921, 0x8922, 0x8927
IFF_UP, IFF_NOARP = 0x1, 0x80

RING_BYTES = 8 << 20  # 4096 full frames: some 60 ms at 850 Mbit/s
STATUS_BYTES = 512
KNOWN_MAX = 4096  # destinations in the links' ranges whose link is remembered
BATCH = 64  # frames taken before the heap is looked at again
LATE_NS = 100_000
REPORTED_NS = 100_000_000  # how old the counters in a status file may be
LEAD_MAX_NS = 200_000
COST_MAX_NS = 80_000
# How close two looks at clocks are that nothing came between, and how often it is tried.
CLOSE_NS, LOOKS = 5_000, 5
PRIORITY = 20  # SCHED_FIFO: above the probes (10), below the kernel's own threads (50 and more)


class Shape(NamedTuple):
    """What a link does to a frame, in the units of the loop."""

    delay_ns: float
    jitter_ns: float  # times one of the steps, which is drawn for each frame
    steps: list[float]
    loss: float
    ns_per_byte: float
    reorder: bool
    limit: int
    rare: bool  # whether a frame needs more than a draw for its loss
    chain: tuple[float, float, float, float] | None  # enter and leave the bad state; lost in it and out of it
    duplicate: float
    corrupt: float


def read_links(path: Path, steps: dict[str | None, list[float]]) -> tuple[dict[str, Any], dict[str, Shape]]:
    """Return what the file says (with its check sum), and each link as the loop wants it, by target.

    Args:
        path: of the file.
        steps: of the distributions that are known; those that are not are read and added.
    """
    text = path.read_bytes()
    about = json.loads(text)
    shapes = {}
    for link in about["links"]:
        table = link["table"]
        if table not in steps:
            steps[table] = json.loads(path.with_suffix(f".{table}.json").read_bytes())
        shapes[link["target"]] = Shape(
            delay_ns=link["delay_ns"],
            jitter_ns=link["jitter_ns"],
            steps=steps[table],
            loss=link["loss"],
            ns_per_byte=link["ns_per_byte"],
            reorder=link["reorder"],
            limit=link["limit"],
            rare=bool(link["chain"] or link["duplicate"] or link["corrupt"]),
            chain=link["chain"] and tuple(link["chain"]),
            duplicate=link["duplicate"],
            corrupt=link["corrupt"],
        )
    return about | {"values": zlib.crc32(text)}, shapes


class Status:
    """A file whose JSON whoever looks at it sees whole, or next to never in two halves."""

    def __init__(self, path: Path) -> None:
        opened = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o644)
        os.ftruncate(opened, STATUS_BYTES)
        self.memory = mmap.mmap(opened, STATUS_BYTES)
        os.close(opened)

    def write(self, values: dict[str, int | bool]) -> None:
        """Replace what the file says."""
        self.memory[:] = json.dumps(values).encode().ljust(STATUS_BYTES - 1) + b"\n"


def fprog(*instructions: tuple[int, int, int, int]) -> tuple[bytes, array.array[int]]:
    """Return a `struct sock_fprog` and the memory it points to, which has to outlive the call."""
    code = array.array("B", b"".join(struct.pack("HBBI", *one) for one in instructions))
    return struct.pack("HxxxxxxP", len(instructions), code.buffer_info()[0]), code


def open_tap(name: str, interface: str) -> int:
    """Make the TAP, up and as wide as the interface, and return its descriptor: it lives as long as that."""
    tap = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(tap, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TAP | IFF_NO_PI | IFF_TUN_EXCL))
    program, code = fprog((0x06, 0, 0, 0))  # ret 0: keep nothing, the ring has its copy already
    fcntl.ioctl(tap, TUNATTACHFILTER, program)
    del code
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        mtu = fcntl.ioctl(control, SIOCGIFMTU, struct.pack("16s24x", interface.encode()))[16:20]
        fcntl.ioctl(control, SIOCSIFMTU, struct.pack("16s4s20x", name.encode(), mtu))
        fcntl.ioctl(control, SIOCSIFFLAGS, struct.pack("16sH22x", name.encode(), IFF_UP | IFF_NOARP))
    return tap


class Ring:
    """The frames that were sent into the TAP, with the time at which they were."""

    def __init__(self, tap: str) -> None:
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        address = fcntl.ioctl(self.socket, SIOCGIFHWADDR, struct.pack("16s24x", tap.encode()))[18:24]
        mtu = struct.unpack_from("i", fcntl.ioctl(self.socket, SIOCGIFMTU, struct.pack("16s24x", tap.encode())), 16)[0]
        high, low = struct.unpack("!IH", address)
        # What the kernel itself says on the TAP (IPv6 listeners' reports) has the TAP's own source address: not ours.
        program, code = fprog(
            (0x20, 0, 0, 6),
            (0x15, 0, 2, high),
            (0x28, 0, 0, 10),
            (0x15, 1, 0, low),
            (0x06, 0, 0, 1 << 18),
            (0x06, 0, 0, 0),
        )
        self.socket.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, program)
        del code
        self.slot = 1 << (mtu + 160 - 1).bit_length()
        self.slots = RING_BYTES // self.slot
        block = max(self.slot, 1 << 16)
        self.socket.setsockopt(SOL_PACKET, PACKET_VERSION, TPACKET_V2)
        layout = struct.pack("IIII", block, RING_BYTES // block, self.slot, self.slots)
        self.socket.setsockopt(SOL_PACKET, PACKET_RX_RING, layout)
        self.memory = mmap.mmap(self.socket.fileno(), RING_BYTES)
        # A slot's state has to be written once. `struct.pack_into` does it twice, and where the ring is full the kernel may
        # have filled the slot in between: it would stay empty for us, and we would wait there for ever.
        self.words = memoryview(self.memory).cast("I")
        self.socket.bind((tap, ETH_P_ALL))

    def dropped(self) -> int:
        """Return how many frames were dropped because the ring was full since this was last asked."""
        return int(struct.unpack("II", self.socket.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8))[1])


class Lane:
    """A link: its values, its random numbers, its counters."""

    __slots__ = (
        "bad", "changed_ns", "corrupted", "duplicated", "last_due", "late", "latest_ns", "lost", "overrun", "random",
        "seed", "sent", "shape", "status", "taken", "under_way", "uniform", "wire_free",
    )  # fmt: skip

    def __init__(self, shape: Shape, seed: int | None, status: Status) -> None:
        self.shape = shape
        self.seed = seed
        self.status = status
        self.random = random.Random(seed)  # noqa: S311  (a link, no secret)
        self.uniform = self.random.random
        self.taken = self.sent = self.lost = self.overrun = self.late = self.latest_ns = 0
        self.duplicated = self.corrupted = self.under_way = 0
        self.last_due = self.wire_free = 0.0
        self.bad = False  # the state of the chain by which frames are lost in bursts
        self.changed_ns = 0  # when the counters first changed since they were written down; 0 where they did not

    def become(self, shape: Shape, seed: int | None) -> None:
        """Take other values."""
        self.shape = shape
        if self.seed != seed:
            self.seed = seed
            self.random.seed(seed)
            self.bad = False

    def loses(self, shape: Shape) -> bool:
        """Draw whether a frame is lost."""
        draw = self.uniform
        if shape.chain is None:
            return draw() < shape.loss
        enter, leave, bad_loss, good_loss = shape.chain
        if self.bad:
            lost = draw() < bad_loss
            self.bad = draw() >= leave
        else:
            lost = draw() < good_loss
            self.bad = draw() < enter
        return lost

    def fate(self, frame: bytes, shape: Shape) -> list[bytes]:
        """Draw what becomes of a frame: none, one or two, each whole or with one bit flipped.

        As netem does it (sch_netem.c, netem_enqueue): a frame that is both lost and repeated arrives once, and the
        second of two goes through the link by itself, but is not repeated again.
        """
        copies = 1 + (self.uniform() < shape.duplicate) - self.loses(shape)
        if copies == 2:
            self.duplicated += 1
            copies -= self.loses(shape)
            self.lost += copies == 1
        elif copies == 0:
            self.lost += 1
        return [self.damaged(frame, shape) for _ in range(copies)]

    def damaged(self, frame: bytes, shape: Shape) -> bytes:
        """Flip one bit of a frame, if the draw decides it."""
        if self.uniform() >= shape.corrupt:
            return frame
        self.corrupted += 1
        bit = self.random.randrange(8 * len(frame))
        turned = bytearray(frame)
        turned[bit >> 3] ^= 1 << (bit & 7)
        return bytes(turned)


class Emulator:
    """The links of an interface, the frames on their way, and the loop that moves them."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.steps: dict[str | None, list[float]] = {None: []}  # of the distributions of jitter
        self.about, shapes = read_links(path, self.steps)
        self.tap = open_tap(self.about["tap"], self.about["interface"])
        self.ring = Ring(self.about["tap"])
        self.out = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        self.out.setsockopt(SOL_PACKET, PACKET_QDISC_BYPASS, 1)
        self.out.setsockopt(socket.SOL_SOCKET, SO_SNDBUFFORCE, 32 << 20)
        self.out.bind((self.about["interface"], 0))
        self.out.setblocking(False)
        self.overrun = 0  # of the ring
        self.lead_ns = 50_000  # how long before its time a sleeper has to be woken; measured as it goes
        self.cost_ns = 10_000  # of a send; a frame reaches its receiver about half-way through it
        self.status = Status(path.with_suffix(".status"))
        self.lanes: dict[str, Lane] = {}
        self.by_address: dict[bytes, Lane | None] = {}
        self.ranges: list[tuple[int, int, int, Lane]] = []
        # What was read for a change, from when on it is in force, and what wakes the loop for it.
        self.next: tuple[dict[str, Any], dict[str, Shape]] = self.about, shapes
        self.next_ns: float = monotonic_ns()
        self.woken, self.wakes = os.pipe()
        self.take()

    def reload(self, *_: object) -> None:
        """Read the values that the file has now, for frames that come from now on; interface and TAP stay."""
        self.next = read_links(self.path, self.steps)
        self.next_ns = monotonic_ns()
        os.write(self.wakes, b"!")

    def take(self) -> None:
        """Bring the lanes to the links that were read, and write down that it was done."""
        (self.about, shapes), taken_ns, self.next_ns = self.next, self.next_ns, math.inf
        lanes: dict[str, Lane] = {}
        addresses: dict[bytes, Lane | None] = {}
        ranges = []
        for link in self.about["links"]:
            target = link["target"]
            if lane := self.lanes.get(target):
                lane.become(shapes[target], link["seed"])
            else:
                status = Status(self.path.parent / f"{self.about['interface']}-{target}.status")
                lane = Lane(shapes[target], link["seed"], status)
                self.report(lane)
            lanes[target] = lane
            for network in map(ipaddress.ip_network, link["networks"]):
                if network.prefixlen == network.max_prefixlen:
                    addresses[network.network_address.packed] = lane
                else:
                    ranges.append(
                        (network.max_prefixlen // 8, int(network.network_address), int(network.netmask), lane)
                    )
        self.lanes, self.by_address, self.ranges = lanes, addresses, ranges
        self.status.write({"pid": os.getpid(), "values": self.about["values"], "taken_ns": int(taken_ns)})

    def lane_of(self, frame: bytes) -> Lane | None:
        """Return the link that a frame belongs to, by its destination; None where it belongs to none (any more)."""
        address = frame[30:34] if frame[12:14] == b"\x08\x00" else frame[38:54]
        try:
            return self.by_address[address]
        except KeyError:
            number = int.from_bytes(address, "big")
            lane = next(
                (lane for size, base, mask, lane in self.ranges if size == len(address) and number & mask == base), None
            )
            if len(self.by_address) < KNOWN_MAX:
                self.by_address[address] = lane
            return lane

    def report(self, lane: Lane) -> None:
        """Write a link's counters where whoever reads its status file sees them."""
        self.overrun += self.ring.dropped()
        lane.changed_ns = 0
        lane.status.write({
            "pid": os.getpid(), "in": lane.taken, "out": lane.sent, "lost": lane.lost, "duplicated": lane.duplicated,
            "corrupted": lane.corrupted, "overrun": lane.overrun + self.overrun, "late": lane.late,
            "latest_us": lane.latest_ns // 1000, "lead_us": self.lead_ns // 1000, "cost_us": self.cost_ns // 1000,
            "realtime": os.sched_getscheduler(0) == os.SCHED_FIFO,
        })  # fmt: skip

    def run(self) -> NoReturn:
        """Move frames until a signal ends it."""
        ring, memory, slot, slots = self.ring.socket, self.ring.memory, self.ring.slot, self.ring.slots
        words, slot_words = self.ring.words, self.ring.slot // 4
        send, push, pop = self.out.send, heapq.heappush, heapq.heappop
        unpack = struct.Struct("IIIHHII").unpack_from
        on_their_way: list[tuple[float, int, Lane, bytes]] = []  # of when, number, link, frame
        changed: deque[Lane] = deque()  # whose counters are to be written down, the longest first
        at, number, waited = 0, 0, False
        begun, behind = 0.0, 0.0  # when the frames that go now had to, and how late they began to
        while True:
            # Time stamps are of the real-time clock; a step of that clock must not move what is under way.
            since_epoch, now = clocks_apart_ns()
            if self.next_ns < now and not words[at * slot_words] & TP_STATUS_USER:
                self.take()
            by_address = self.by_address
            for _ in range(BATCH):
                if not words[at * slot_words] & TP_STATUS_USER:
                    break
                base = at * slot
                _, size, held, offset, _, seconds, nanoseconds = unpack(memory, base)
                frame = memory[base + offset : base + offset + held]
                words[at * slot_words] = 0
                at = (at + 1) % slots
                came: float = seconds * 1_000_000_000 + nanoseconds - since_epoch
                if came > now:  # since the look at the clocks, or that of real time was set back meanwhile
                    came = min(came, monotonic_ns())
                if came >= self.next_ns:
                    self.take()
                    by_address = self.by_address
                # IPv4's address, if that is what it is: ARP, the only other that begins with 8, does not come here.
                lane = by_address.get(frame[30:34]) if frame[12] == 8 else None
                if lane is None and (lane := self.lane_of(frame)) is None:
                    continue
                lane.taken += 1
                if not lane.changed_ns:
                    lane.changed_ns = now
                    changed.append(lane)
                shape = lane.shape
                delay_ns, jitter_ns, steps, loss, ns_per_byte, reorder, limit, rare, *_ = shape
                if rare:
                    frames = lane.fate(frame, shape)
                elif loss and lane.uniform() < loss:
                    lane.lost += 1
                    continue
                else:
                    frames = [frame]
                for one in frames:
                    if held < size or lane.under_way >= limit:
                        lane.overrun += 1
                        continue
                    due = came
                    if ns_per_byte:
                        lane.wire_free = due = max(due, lane.wire_free) + size * ns_per_byte
                    due += delay_ns
                    if steps:
                        due += jitter_ns * steps[int(lane.uniform() * len(steps))]
                    if not reorder:
                        lane.last_due = due = max(due, lane.last_due)
                    number += 1
                    lane.under_way += 1
                    push(on_their_way, (due, number, lane, one))
            now = monotonic_ns()
            while on_their_way and on_their_way[0][0] <= now + self.cost_ns // 2:
                due, _, lane, frame = pop(on_their_way)
                lane.under_way -= 1
                try:
                    send(frame)
                    lane.sent += 1
                except OSError:  # the interface's queue is full, or it is down: a real link drops here, too
                    lane.overrun += 1
                if due != begun:  # those that wait for the one before them go together, one after the other
                    begun, behind = due, now - due
                if behind > LATE_NS:
                    lane.late += 1
                    lane.latest_ns = max(lane.latest_ns, int(behind))
                if not lane.changed_ns:
                    lane.changed_ns = now
                    changed.append(lane)
                after = monotonic_ns()
                if waited:  # a running median of the sends that nothing had kept waiting
                    self.cost_ns = min(
                        max(self.cost_ns + (250 if after - now > self.cost_ns else -250), 0), COST_MAX_NS
                    )
                    waited = False
                now = after
            if changed and now - changed[0].changed_ns > REPORTED_NS:
                self.report(changed.popleft())
            if words[at * slot_words] & TP_STATUS_USER:
                continue
            wait = on_their_way[0][0] - self.cost_ns // 2 - now - self.lead_ns if on_their_way else 60e9
            waited = bool(on_their_way)
            if wait <= 0:
                os.sched_yield()  # the last microseconds are waited for awake; another node's emulator may need them
                continue
            if changed:
                wait = min(wait, REPORTED_NS)
            readable, _, _ = select.select([ring.fileno(), self.woken], [], [], wait / 1e9)
            if self.woken in readable:
                os.read(self.woken, 64)
            if not readable and on_their_way:
                # A running 80 % quantile of the wake-up's latency: four in five wake in time and wait awake.
                self.lead_ns += 1000 if monotonic_ns() - now - wait > self.lead_ns else -250
                self.lead_ns = min(max(self.lead_ns, 0), LEAD_MAX_NS)


def clocks_apart_ns() -> tuple[int, int]:
    """Return by how much the real-time clock is ahead of the monotonic one, and what the latter says.

    A processor that is taken away between the two looks would make one of them too early, and frames with it: then there
    is another look.
    """
    apart, closest = 0, math.inf
    for _ in range(LOOKS):
        before, since_epoch, now = monotonic_ns(), time_ns(), monotonic_ns()
        if now - before < closest:
            apart, closest = since_epoch - now, now - before
        if closest < CLOSE_NS:
            break
    return apart, now


def main() -> None:
    """Set the process up for punctuality and run the links that the argument names."""
    os.sched_setaffinity(0, range(os.cpu_count() or 1))  # links are no part of the node, which may be pinned to a core
    with contextlib.suppress(PermissionError):  # refused in some containers; then the status says "realtime": false
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(PRIORITY))
    with contextlib.suppress(OSError):  # matters only without SCHED_FIFO: the default slack is 50 us
        Path("/proc/self/timerslack_ns").write_text("1")
    gc.disable()  # nothing here makes cycles, and a collection is a pause
    emulator = Emulator(Path(sys.argv[1]))
    signal.signal(signal.SIGHUP, emulator.reload)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        emulator.run()
    finally:
        for lane in emulator.lanes.values():
            emulator.report(lane)


if __name__ == "__main__":
    main()
