"""Datagrams to other nodes beside what is measured, as planned: so much a second, which nobody answers."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

# Nothing listens there, or what does discards it (RFC 863).
PORT = 9
# It ends with whoever started it, and prints when it has sent its first datagram. What it could not send it leaves out.
SENDS = """
import os, socket, sys, time
parent, address, port, rate, begin_ns = int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), float(sys.argv[4]), int(sys.argv[5])
sender = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
payload = bytes(1200)
size = len(payload) + 8 + (40 if ":" in address else 20)
os.sched_setaffinity(0, range(os.cpu_count() or 1))
while (left_ns := begin_ns - time.monotonic_ns()) > 0:
    time.sleep(left_ns / 1e9)
from_ns, sent, told = time.monotonic_ns(), 0, False
while os.getppid() == parent:
    wanted = (time.monotonic_ns() - from_ns) * rate / 8000 + size
    if wanted - sent > rate * 12_500:
        from_ns, sent, wanted = time.monotonic_ns(), 0, size
    while sent + size <= wanted:
        try:
            sender.sendto(payload, (address, port))
        except OSError:
            pass
        sent += size
        if not told:
            print(time.monotonic_ns(), flush=True)
            told = True
    time.sleep(0.001)
"""


class Background:
    """What is sent to other nodes, in Mbit/s of IP packets, by the name of each."""

    def __init__(self) -> None:
        self._running: dict[str, subprocess.Popen[str]] = {}
        self._ended: list[subprocess.Popen[str]] = []

    def prepare(self, rates: Mapping[str, tuple[str, float]], begin_ns: int) -> dict[str, subprocess.Popen[str] | None]:
        """Return what will send from a time on, CLOCK_MONOTONIC; ``rates`` are address and Mbit/s by target."""
        own = str(os.getpid())
        found: dict[str, subprocess.Popen[str] | None] = {}
        for target, (address, rate) in rates.items():
            words = [sys.executable, "-c", SENDS, own, address, str(PORT), str(rate), str(begin_ns)]
            found[target] = (
                subprocess.Popen(
                    words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
                )
                if rate
                else None
            )
        return found

    def change(self, prepared: Mapping[str, subprocess.Popen[str] | None]) -> None:
        """Have what was prepared take the place of what was sent to the same targets."""
        for target, process in prepared.items():
            if target in self._running:
                self._end(self._running.pop(target))
            if process is not None:
                self._running[target] = process

    def end(self) -> None:
        """Send nothing any more."""
        self.change(dict.fromkeys(list(self._running)))
        for process in self._ended:
            process.wait()
        self._ended = []

    def _end(self, process: subprocess.Popen[str]) -> None:
        process.kill()
        self._ended.append(process)


def began_ns(process: subprocess.Popen[str]) -> int | None:
    """Return when it had sent its first datagram, once it has sent one or ended."""
    line = process.stdout.readline() if process.stdout else ""
    return int(line) if line.strip() else None
