"""How true links are and what they cost, measured the same way over either backend.

Standard library and the role's own code only: the guest in user-mode Linux uses it, too.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from frames import send
from wires import link

if TYPE_CHECKING:
    from wires import Wires

# Table I's two rows, then delays alone: ms, ms, %.
SHAPES = ((1.25, 0.25, 0.02), (15, 3, 0.24), (0.1, 0, 0), (50, 0, 0), (200, 0, 0))
# A delay and a jitter that a machine's own lateness of some 0.1 ms cannot be seen beside, for each distribution.
WIDE_MS = {"normal": (100, 25), "pareto": (60, 40), "paretonormal": (60, 40), "uniform": (40, 40)}
FRAMES = 4000
A_CALL = {"emulator": 44, "kernel": 1}
BUSY_MBIT = 100  # beside which the delays are measured again
LINKS = (1, 10, 50, 200)
SENDS = 20_000

TAKE = """
import contextlib, json, socket, sys, time
with socket.create_server((sys.argv[1], 7002)) as server:
    server.setsockopt(socket.SOL_SOCKET, 33, 64 << 20)  # SO_RCVBUFFORCE
    print("listening", flush=True)
    taken, _ = server.accept()
    buffer, seen, size = bytearray(1 << 18), [], 0
    with contextlib.suppress(ConnectionResetError):
        while got := taken.recv_into(buffer):
            size += got
            seen.append((time.monotonic(), size))
    last = seen[-1][0]
    middle = next(one for one in seen if one[0] >= (seen[0][0] + last) / 2)
    print(json.dumps({"mbit": size * 8 / 1e6, "mbit_per_s": (size - middle[1]) * 8e-6 / max(last - middle[0], 1e-9)}))
"""
GIVE = """
import socket, struct, sys, time
with socket.socket() as sender:
    sender.setsockopt(socket.SOL_SOCKET, 32, 64 << 20)  # SO_SNDBUFFORCE
    sender.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, b"cubic")
    sender.connect((sys.argv[1], 7002))
    end, part = time.monotonic() + float(sys.argv[2]), bytes(1 << 18)
    while time.monotonic() < end:
        sender.send(part)
    # What is not sent yet is not waited for: on a slow link that takes longer than all the rest.
    sender.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
"""
# As many full frames as the sender's CPU can make: some a call, which the kernel cuts before a TAP sees them. Behind netem
# it would cut them too late: UDP heeds no gso_max_segs.
FLOOD = """
import contextlib, socket, sys
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
    sender.setsockopt(17, 103, 1472)  # UDP_SEGMENT
    sender.connect((sys.argv[1], 7003))
    message = bytes(int(sys.argv[2]) * 1472)
    while True:
        with contextlib.suppress(OSError):  # nobody listens yet, or the link's queue is full
            sender.send(message)
"""
COUNT = """
import socket, sys, time
taker = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)  # which nobody reads: a closed port would cost an answer each
taker.bind((sys.argv[2], 7003))
def received():
    line = next(line for line in open("/proc/self/net/dev") if "data0:" in line)
    return time.monotonic(), int(line.split(":")[1].split()[0])
while received()[1] < 10e6:
    time.sleep(0.01)
first, last = received(), None
while last is None or last[0] < first[0] + float(sys.argv[1]):
    time.sleep(0.01)
    last = received()
print((last[1] - first[1]) * 8e-6 / (last[0] - first[0]))
"""
POUR = """
import socket, sys, time
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
    sender.connect((sys.argv[1], 9))
    message, started = bytes(100), time.perf_counter()
    for _ in range(int(sys.argv[2])):
        sender.send(message)
    print((time.perf_counter() - started) / int(sys.argv[2]) * 1e6)
"""


def delays(
    wires: Wires,
    backend: str,
    delay_ms: float,
    jitter_ms: float,
    loss_percent: float,
    busy_mbit: float = 0,
    **more: Any,
) -> list[float]:
    """Shape a -> b and return the delays of the frames that arrive, in ms, in no order."""
    shape = link("a", "b", delay_ms, jitter_ms, loss_percent, **more)
    wires.links("a", "present", [shape], backend=backend)
    frames = send(wires, "a", "b", FRAMES, interval_ms=1, delay_ms=delay_ms + 10 * jitter_ms, busy_mbit=busy_mbit)
    return [frame.delay_ms for frame in frames]


def clear_ms(wires: Wires, busy_mbit: float = 0) -> float:
    """Return the median of what the path takes by itself."""
    wires.links("a", "absent")
    frames = send(wires, "a", "b", FRAMES // 4, interval_ms=1, delay_ms=0, busy_mbit=busy_mbit)
    return statistics.median(frame.delay_ms for frame in frames)


def top_mbit(wires: Wires, backend: str, seconds: float) -> float:
    """Offer more full frames than the link can carry; return the Mbit/s that arrive."""
    flood = subprocess.Popen(wires.inside("a", sys.executable, "-c", FLOOD, wires.address("b"), str(A_CALL[backend])))
    try:
        return float(wires.run("b", sys.executable, "-c", COUNT, str(seconds), wires.address("b")))
    finally:
        flood.kill()
        flood.wait()


def stream(wires: Wires, seconds: float) -> dict[str, float]:
    """Send by one TCP connection as fast as it goes; return Mbit in all, and Mbit/s of the second half."""
    taker = subprocess.Popen(
        wires.inside("b", sys.executable, "-c", TAKE, wires.address("b")), stdout=subprocess.PIPE, text=True
    )
    assert taker.stdout is not None
    assert taker.stdout.readline() == "listening\n"
    wires.run("a", sys.executable, "-c", GIVE, wires.address("b"), str(seconds))
    output, _ = taker.communicate(timeout=120)
    rates: dict[str, float] = json.loads(output)
    return rates


def busy_seconds() -> float:
    """Return how long this machine's CPUs were busy so far; meaningful where nobody else uses it."""
    words = [int(word) for word in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:8]]
    return (sum(words) - words[3] - words[4]) / 100


def emulator_seconds(wires: Wires) -> float:
    """Return the CPU time of the emulator of a -> b so far."""
    pid = json.loads((wires.folder / "a" / "data0-b.status").read_text())["pid"]
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / 100


def fidelity(wires: Wires, backend: str, seconds: float) -> list[dict[str, Any]]:
    """Return for each shape: mean and sigma beyond the clear path, frames lost, rates, CPU per Gbit/s.

    The mean also while 100 Mbit/s pass the link in full frames. The top rate is that of frames which nobody waits for; that
    of TCP, and CPU by it, are measured without the shape's loss, which would be TCP's limit and not the link's. CPU is
    the emulator process's, for the kernel what the whole guest takes more than over the clear path.
    """
    rows = []
    alone, alone_busy = clear_ms(wires), clear_ms(wires, BUSY_MBIT)
    bare_top = top_mbit(wires, backend, seconds)
    before = busy_seconds()
    bare = stream(wires, seconds)
    bare_per_gbit = (busy_seconds() - before) / bare["mbit"] * 1000
    for delay_ms, jitter_ms, loss_percent in SHAPES:
        measured = delays(wires, backend, delay_ms, jitter_ms, loss_percent)
        busy = delays(wires, backend, delay_ms, jitter_ms, loss_percent, BUSY_MBIT)
        wires.links("a", "present", [link("a", "b", delay_ms, jitter_ms)], backend=backend)
        spent = emulator_seconds if backend == "emulator" else lambda _: busy_seconds()
        before = spent(wires)
        top = stream(wires, seconds + 20 * delay_ms / 1000)
        per_gbit = (spent(wires) - before) / top["mbit"] * 1000
        most = top_mbit(wires, backend, seconds)
        rows.append(
            {
                "backend": backend, "delay_ms": delay_ms, "jitter_ms": jitter_ms, "loss_percent": loss_percent,
                "alone_ms": alone, "mean_ms": statistics.fmean(measured) - alone, "median_ms": statistics.median(measured) - alone,
                "sigma_ms": statistics.stdev(measured), "frames": FRAMES, "lost": FRAMES - len(measured),
                "busy_mean_ms": statistics.fmean(busy) - alone_busy, "busy_sigma_ms": statistics.stdev(busy),
                "busy_median_ms": statistics.median(busy) - alone_busy,
                "top_mbit_per_s": most, "bare_top_mbit_per_s": bare_top,
                "tcp_mbit_per_s": top["mbit_per_s"], "bare_tcp_mbit_per_s": bare["mbit_per_s"],
                "cores_per_gbit": per_gbit - (bare_per_gbit if backend == "kernel" else 0),
            }
        )  # fmt: skip
    wires.links("a", "absent")
    return rows


def wide(wires: Wires, backend: str) -> dict[str, list[float]]:
    """Return the delays of each distribution, less what the path takes by itself."""
    alone = clear_ms(wires)
    by_distribution = {
        name: [one - alone for one in delays(wires, backend, *values, 0, distribution=name)]
        for name, values in WIDE_MS.items()
    }
    wires.links("a", "absent")
    return by_distribution


def classification(wires: Wires, backend: str) -> list[dict[str, float]]:
    """Return for each number of links: seconds to apply them, and us to send a datagram to the last one's target."""
    rows = []
    for count in LINKS:
        addresses = {f"t{number}": [f"198.19.{160 + number // 200}.{number % 200 + 1}"] for number in range(count)}
        last = addresses[f"t{count - 1}"][0]
        wires.run("a", "ip", "route", "replace", f"{last}/32", "dev", "data0")
        wires.run("a", "ip", "neigh", "replace", last, "lladdr", "02:00:00:00:00:01", "dev", "data0")
        started = time.monotonic()
        made = [link("a", name, 0.01) for name in addresses]
        wires.links("a", "present", made, backend=backend, addresses={"a": ["198.19.159.1"], **addresses})
        applied_s = time.monotonic() - started
        sent_us = min(float(wires.run("a", sys.executable, "-c", POUR, last, str(SENDS))) for _ in range(3))
        rows.append({"links": count, "applied_s": applied_s, "sent_us": sent_us})
        wires.links("a", "absent")
    return rows
