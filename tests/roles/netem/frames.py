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
FULL_BYTES = 1514
PORT = 7001
LINGER_SECONDS = 0.5  # beyond the delay, for a machine that is busy

# A packet socket, because a damaged datagram would not reach a UDP socket; that one only keeps ICMP errors away.
RECEIVE = f"""
import ctypes, json, os, select, socket, struct, sys, time

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
    # What passes beside these frames stays with the kernel: by their length, which is all that BPF looks at.
    code = b"".join(struct.pack("HBBI", *one) for one in ((0x80, 0, 0, 0), (0x15, 0, 1, {SIZE_BYTES} + 42), (6, 0, 0, 1 << 18), (6, 0, 0, 0)))
    memory = ctypes.create_string_buffer(code)
    wire.setsockopt(socket.SOL_SOCKET, 26, struct.pack("HxxxxxxP", 4, ctypes.addressof(memory)))  # SO_ATTACH_FILTER
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
address, count, interval_s, beside = sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4])
filling = bytes(range(256))[:{SIZE_BYTES} - 12].ljust({SIZE_BYTES} - 12, b"x")
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
    start, full = time.monotonic(), bytes(1472)
    for turn in range(count * (beside + 1)):
        number, place = divmod(turn, beside + 1)
        while (left := start + turn / (beside + 1) * interval_s - time.monotonic()) > 0:
            time.sleep(max(0, left - 1e-4))
        try:
            if place:
                sender.sendto(full, (address, {PORT} + 10))
            else:
                sender.sendto(struct.pack("!IQ", number, time.time_ns()) + filling, (address, {PORT}))
        except ConnectionRefusedError:  # nobody takes what goes beside
            pass
"""


class Frame(NamedTuple):
    """A frame that arrived."""

    number: int
    delay_ms: float
    whole: bool


def send(
    wires: Wires, source: str, target: str, count: int, *, interval_ms: float, delay_ms: float, busy_mbit: float = 0
) -> list[Frame]:
    """Send frames one by one and return those that arrive, in that order; delay_ms says how long to wait for the last.

    So many busy_mbit pass the link beside them, in full frames at even distances.
    """
    beside = round(busy_mbit * interval_ms * 1000 / 8 / FULL_BYTES)
    receiver = subprocess.Popen(
        wires.inside(target, sys.executable, "-c", RECEIVE, str(delay_ms / 1000 + LINGER_SECONDS)),
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert receiver.stdout is not None
    assert receiver.stdout.readline() == "listening\n"
    wires.run(
        source, sys.executable, "-c", SEND, wires.address(target), str(count), str(interval_ms / 1000), str(beside)
    )
    output, _ = receiver.communicate(timeout=60)
    return [Frame(number, delay_ns / 1e6, whole) for number, delay_ns, whole in json.loads(output)]
