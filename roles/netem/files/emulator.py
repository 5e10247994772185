#!/usr/bin/env python3
"""Delay, lose, repeat and damage the frames of one link, where the kernel has no `sch_netem`.

`tc` redirects what leaves the data interface for one destination into a TAP. This program sees those frames
through a packet ring with the kernel's time stamps, holds each until its time has come and puts it on the
interface again, past the queueing disciplines, so that it does not meet the redirection twice. Nobody reads the
TAP itself: its filter drops every frame, so when this program is gone the link carries nothing (fail closed).

    emulator.py LINK.json        written by roles/netem: the link, its interface and the name of its TAP

SIGHUP reads LINK.json again (frames on their way keep their times), SIGTERM ends. LINK.status beside it holds the
counters, current to 0.1 s: frames in, out, lost, duplicated, corrupted; overrun (no room in the ring, in the link's own
queue or in the interface's); late (sent more than 0.1 ms after their time). Needs root. Standard library only: it is copied to the node as it is.
"""

from __future__ import annotations

import array
import contextlib
import fcntl
import gc
import heapq
import json
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
BATCH = 64  # frames taken before the heap is looked at again
LATE_NS = 100_000
LEAD_MAX_NS = 200_000
COST_MAX_NS = 80_000
PRIORITY = 20  # SCHED_FIFO: above the probes (10), below the kernel's own threads (50 and more)


class Shape(NamedTuple):
    """What the link does to a frame, in the units of the loop."""

    delays_ns: list[float]  # one of them is drawn for each frame
    loss: float
    chain: tuple[float, float, float, float] | None  # enter and leave the bad state; lost in it and out of it
    duplicate: float
    corrupt: float
    ns_per_byte: float
    reorder: bool
    limit: int
    rare: bool  # whether a frame needs more than a draw for its loss
    in_order: bool  # whether frames leave as they came


def read_link(path: Path) -> tuple[dict[str, Any], Shape]:
    """Return the file's link as it stands there (with its check sum) and as the loop wants it."""
    text = path.read_bytes()
    link = json.loads(text)
    delay_ns, jitter_ns = link["delay_ns"], link["jitter_ns"]
    return link | {"values": zlib.crc32(text)}, Shape(
        delays_ns=[delay_ns + jitter_ns * step for step in link["table"]] or [delay_ns],
        loss=link["loss"],
        chain=link["chain"] and tuple(link["chain"]),
        duplicate=link["duplicate"],
        corrupt=link["corrupt"],
        ns_per_byte=link["ns_per_byte"],
        reorder=link["reorder"],
        limit=link["limit"],
        rare=bool(link["chain"] or link["duplicate"] or link["corrupt"]),
        in_order=not link["table"] or not link["reorder"],
    )


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


class Link:
    """The frames on their way, the counters, and the loop that moves both."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.about, self.shape = read_link(path)
        self.tap = open_tap(self.about["tap"], self.about["interface"])
        self.ring = Ring(self.about["tap"])
        self.out = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        self.out.setsockopt(SOL_PACKET, PACKET_QDISC_BYPASS, 1)
        self.out.setsockopt(socket.SOL_SOCKET, SO_SNDBUFFORCE, 32 << 20)
        self.out.bind((self.about["interface"], 0))
        self.out.setblocking(False)
        self.random = random.Random(self.about["seed"])  # noqa: S311  (a link, no secret)
        self.taken = self.sent = self.lost = self.overrun = self.late = self.latest_ns = 0
        self.duplicated = self.corrupted = 0
        self.bad = False  # the state of the chain by which frames are lost in bursts
        self.lead_ns = 50_000  # how long before its time a sleeper has to be woken; measured as it goes
        self.cost_ns = 10_000  # of a send; a frame reaches its receiver about half-way through it
        status = os.open(path.with_suffix(".status"), os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o644)
        os.ftruncate(status, STATUS_BYTES)
        self.status = mmap.mmap(status, STATUS_BYTES)
        os.close(status)

    def reload(self, *_: object) -> None:
        """Take the values that the file has now; its interface and TAP stay."""
        seed = self.about["seed"]
        self.about, self.shape = read_link(self.path)
        if self.about["seed"] != seed:
            self.random.seed(self.about["seed"])
            self.bad = False
        self.report()

    def loses(self, shape: Shape) -> bool:
        """Draw whether a frame is lost."""
        draw = self.random.random
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
        copies = 1 + (self.random.random() < shape.duplicate) - self.loses(shape)
        if copies == 2:
            self.duplicated += 1
            copies -= self.loses(shape)
            self.lost += copies == 1
        elif copies == 0:
            self.lost += 1
        return [self.damaged(frame, shape) for _ in range(copies)]

    def damaged(self, frame: bytes, shape: Shape) -> bytes:
        """Flip one bit of a frame, if the draw decides it."""
        if self.random.random() >= shape.corrupt:
            return frame
        self.corrupted += 1
        bit = self.random.randrange(8 * len(frame))
        turned = bytearray(frame)
        turned[bit >> 3] ^= 1 << (bit & 7)
        return bytes(turned)

    def report(self) -> None:
        """Write the counters where whoever reads the status file sees them."""
        self.overrun += self.ring.dropped()
        counters: dict[str, int | bool] = {
            "pid": os.getpid(), "values": self.about["values"], "in": self.taken, "out": self.sent, "lost": self.lost,
            "duplicated": self.duplicated, "corrupted": self.corrupted, "overrun": self.overrun,
            "late": self.late, "latest_us": self.latest_ns // 1000, "lead_us": self.lead_ns // 1000, "cost_us": self.cost_ns // 1000,
            "realtime": os.sched_getscheduler(0) == os.SCHED_FIFO,
        }  # fmt: skip
        self.status[:] = json.dumps(counters).encode().ljust(STATUS_BYTES - 1) + b"\n"

    def run(self) -> NoReturn:
        """Move frames until a signal ends it."""
        ring, memory, slot, slots = self.ring.socket, self.ring.memory, self.ring.slot, self.ring.slots
        words, slot_words = self.ring.words, self.ring.slot // 4
        uniform, send = self.random.random, self.out.send
        header = struct.Struct("IIIHHII")
        push: Any = heapq.heappush
        pop: Any = heapq.heappop
        on_their_way: Any = []  # of when, number, frame
        shape = self.shape
        at, number, last_due, wire_free, reported, changed, waited = 0, 0, 0.0, 0.0, 0, True, False
        while True:
            # Time stamps are of the real-time clock; a step of that clock must not move what is under way.
            now = monotonic_ns()
            since_epoch = time_ns() - now
            if (
                shape is not self.shape
            ):  # frames under way keep their times: those that come now may be sent before them
                shape, push, pop = self.shape, heapq.heappush, heapq.heappop
                on_their_way = sorted(on_their_way)
            if shape.in_order and not on_their_way and push is heapq.heappush:  # a queue takes a tenth less time
                on_their_way, push, pop = deque(), deque.append, deque.popleft
            delays_ns, loss, ns_per_byte, limit = shape.delays_ns, shape.loss, shape.ns_per_byte, shape.limit
            choices = len(delays_ns)
            for _ in range(BATCH):
                if not words[at * slot_words] & TP_STATUS_USER:
                    break
                base = at * slot
                _, size, held, offset, _, seconds, nanoseconds = header.unpack_from(memory, base)
                frame = memory[base + offset : base + offset + held]
                words[at * slot_words] = 0
                at = (at + 1) % slots
                self.taken += 1
                changed = True
                if shape.rare:
                    frames = self.fate(frame, shape)
                elif loss and uniform() < loss:
                    self.lost += 1
                    continue
                else:
                    frames = [frame]
                came: float = min(seconds * 1_000_000_000 + nanoseconds - since_epoch, now)
                for one in frames:
                    if held < size or len(on_their_way) >= limit:
                        self.overrun += 1
                        continue
                    due = came
                    if ns_per_byte:
                        wire_free = due = max(due, wire_free) + size * ns_per_byte
                    due += delays_ns[int(uniform() * choices)] if choices > 1 else delays_ns[0]
                    if not shape.reorder:
                        last_due = due = max(due, last_due)
                    number += 1
                    push(on_their_way, (due, number, one))
            now = monotonic_ns()
            while on_their_way and on_their_way[0][0] <= now + self.cost_ns // 2:
                due, _, frame = pop(on_their_way)
                try:
                    send(frame)
                    self.sent += 1
                except OSError:  # the interface's queue is full, or it is down: a real link drops here, too
                    self.overrun += 1
                if now - due > LATE_NS:
                    self.late += 1
                    self.latest_ns = max(self.latest_ns, int(now - due))
                after = monotonic_ns()
                if waited:  # a running median of the sends that nothing had kept waiting
                    self.cost_ns = min(
                        max(self.cost_ns + (250 if after - now > self.cost_ns else -250), 0), COST_MAX_NS
                    )
                    waited = False
                now = after
            if changed and now - reported > LATE_NS * 1000:
                self.report()
                reported, changed = now, False
            if words[at * slot_words] & TP_STATUS_USER:
                continue
            wait = on_their_way[0][0] - self.cost_ns // 2 - now - self.lead_ns if on_their_way else 60e9
            waited = bool(on_their_way)
            if wait <= 0:
                continue  # the last microseconds are waited for awake
            if changed:
                wait = min(wait, LATE_NS * 1000)
            readable, _, _ = select.select([ring], [], [], wait / 1e9)
            if not readable and on_their_way:
                # A running 80 % quantile of the wake-up's latency: four in five wake in time and wait awake.
                self.lead_ns += 1000 if monotonic_ns() - now - wait > self.lead_ns else -250
                self.lead_ns = min(max(self.lead_ns, 0), LEAD_MAX_NS)


def main() -> None:
    """Set the process up for punctuality and run the link that the argument names."""
    os.sched_setaffinity(0, range(os.cpu_count() or 1))  # a link is no part of the node, which may be pinned to a core
    with contextlib.suppress(PermissionError):  # refused in some containers; then the status says "realtime": false
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(PRIORITY))
    with contextlib.suppress(OSError):  # matters only without SCHED_FIFO: the default slack is 50 us
        Path("/proc/self/timerslack_ns").write_text("1")
    gc.disable()  # nothing here makes cycles, and a collection is a pause
    link = Link(Path(sys.argv[1]))
    signal.signal(signal.SIGHUP, link.reload)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    link.report()
    try:
        link.run()
    finally:
        link.report()


if __name__ == "__main__":
    main()
