"""Numbered frames from one node to another: which arrive, in what order, how late, and whole or damaged.

Standard library only: the guest in user-mode Linux uses it, too.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from wires import Wires

SIZE_BYTES = 321  # of a frame's payload: nothing else here is as long as these frames are
PORT = 7001
LINGER_SECONDS = 0.5  # beyond the delay, for a machine that is busy

# A packet socket, because a damaged datagram would not reach a UDP socket; that one only keeps ICMP errors away.
RECEIVE = f"""
import json, os, select, socket, struct, sys, time

def checksum(data):
    data += bytes(len(data) % 2)
    total = sum(struct.unpack(f"!{{len(data) // 2}}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total

def whole(frame):
    datagram = frame[34:]
    pseudo = frame[26:34] + struct.pack("!BBH", 0, 17, len(datagram))
    return checksum(frame[14:34]) == 0xFFFF and checksum(pseudo + datagram) == 0xFFFF

with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as port, socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3)) as wire:
    port.bind(("0.0.0.0", {PORT}))
    wire.setsockopt(socket.SOL_SOCKET, 33, 64 << 20)  # SO_RCVBUFFORCE
    wire.setsockopt(socket.SOL_SOCKET, 35, 1)  # SO_TIMESTAMPNS
    wire.bind(("data0", 3))
    print("listening", flush=True)
    seen, end = [], None
    while end is None or time.monotonic() < end:
        ready, _, _ = select.select([wire] if end else [wire, sys.stdin], [], [], 0.05)
        if sys.stdin in ready:
            end = time.monotonic() + float(sys.argv[1])
        if wire not in ready:
            continue
        frame, attached, _, sender = wire.recvmsg(2048, 64)
        if len(frame) == {SIZE_BYTES + 42} and sender[2] != socket.PACKET_OUTGOING:
            seconds, nanoseconds = struct.unpack_from("qq", attached[0][2])
            number, sent = struct.unpack_from("!IQ", frame, 42)
            seen.append((number, seconds * 10**9 + nanoseconds - sent, whole(frame)))
    print(json.dumps(seen))
"""
SEND = f"""
import socket, struct, sys, time
address, count, interval_s = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
filling = bytes(range(256))[:{SIZE_BYTES} - 12].ljust({SIZE_BYTES} - 12, b"x")
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
    start = time.monotonic()
    for number in range(count):
        while (left := start + number * interval_s - time.monotonic()) > 0:
            time.sleep(max(0, left - 1e-4))
        sender.sendto(struct.pack("!IQ", number, time.time_ns()) + filling, (address, {PORT}))
"""


class Frame(NamedTuple):
    """A frame that arrived."""

    number: int
    delay_ms: float
    whole: bool


def send(wires: Wires, source: str, target: str, count: int, *, interval_ms: float, delay_ms: float) -> list[Frame]:
    """Send frames one by one and return those that arrive, in that order; delay_ms says how long to wait for the last."""
    receiver = subprocess.Popen(
        wires.inside(target, sys.executable, "-c", RECEIVE, str(delay_ms / 1000 + LINGER_SECONDS)),
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert receiver.stdout is not None
    assert receiver.stdout.readline() == "listening\n"
    wires.run(source, sys.executable, "-c", SEND, wires.address(target), str(count), str(interval_ms / 1000))
    said, _ = receiver.communicate(timeout=60)
    return [Frame(number, delay_ns / 1e6, whole) for number, delay_ns, whole in json.loads(said)]
