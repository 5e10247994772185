"""``python -m benchmarks.driver``: how well the load driver keeps its times, and what it costs beside curl.

Requests go over loopback to a server in a process of its own, on another core where there is one. Three questions: how
far apart are requests sent that go together; how late are those of an open loop sent, from one core; how much longer
does a large body take than with curl, to a server that reads as fast as a link of 100 Mbit/s would deliver. Lateness
and skew are of this machine, as busy as it is; the load stands below them.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from experiments.base_station.arrivals import Constant, Together
from experiments.base_station.connecting import undisturbed
from experiments.base_station.exchange import Way, fire, sender
from experiments.base_station.sending import Traffic

if TYPE_CHECKING:
    from collections.abc import Iterator

    from experiments.base_station.arrivals import Arrivals
    from experiments.base_station.sending import Sent

CONTROL = "cubic"
# Targets: p99 of the skew of requests sent together, overhead over curl, p99 of the lateness at so many a second.
SKEW_MS, OVERHEAD_PERCENT, LATE_MS = 0.2, 2.0, 2.0
RATES_PER_S = (50, 200, 500)
OPEN_LOOP_S = 10
LINK_BYTES_PER_S = 100e6 / 8
PIECE = 65_536
REPLY = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"


def main(arguments: list[str] | None = None) -> int:
    """Print the tables; returns 1 where a target is missed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.driver", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--serve", metavar="BYTES_PER_S", type=float, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.serve is not None:
        asyncio.run(_serve(options.serve))
        return 0
    own, *others = sorted(os.sched_getaffinity(0))
    server_core = others[-1] if others else own
    with _server(0, server_core) as url:
        met = [_skew(url), *(_late(url, rate, own) for rate in RATES_PER_S)]
    with _server(LINK_BYTES_PER_S, server_core) as url:
        met += [_beside_curl(url, megabytes) for megabytes in (6, 12)]
    print(f"load of the machine: {os.getloadavg()[0]:.1f} on {len(os.sched_getaffinity(0))} cores")
    return int(not all(met))


def _skew(url: str) -> bool:
    for parallel in (2, 8):
        bare_ms = [_bare(url, parallel) for _ in range(200)]
        skews_ms = []
        for _ in range(200):
            sent_ns = [one.exchange.sent_ns or 0 for one in _sent(url, Together(parallel=parallel))]
            skews_ms.append((max(sent_ns) - min(sent_ns)) / 1e6)
        p99, bare_p99 = (float(np.quantile(values_ms, 0.99)) for values_ms in (skews_ms, bare_ms))
        print(
            f"{parallel} requests together, 200 times: skew median {statistics.median(skews_ms):.3f} ms, p99 {p99:.3f} "
            f"ms, worst {max(skews_ms):.3f} ms (target of p99: {SKEW_MS:g} ms); so many bare connections, "
            f"one after the other: median {statistics.median(bare_ms):.3f} ms, p99 {bare_p99:.3f} ms",
            flush=True,
        )
    return p99 <= SKEW_MS


def _bare(url: str, parallel: int) -> float:
    """Return how far apart connections are begun that nothing but a loop begins: no driver can do better here."""
    host, _, port = url.split("/")[2].partition(":")
    begun_ns = []
    with ExitStack() as stack:
        connections = [stack.enter_context(socket.socket()) for _ in range(parallel)]
        for connection in connections:
            connection.setblocking(False)
        with undisturbed():
            for connection in connections:
                begun_ns.append(time.monotonic_ns())
                connection.connect_ex((host, int(port)))
        for connection in connections:
            connection.setblocking(True)
            connection.sendall(b"POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\n")
            while connection.recv(PIECE):
                pass
    return (begun_ns[-1] - begun_ns[0]) / 1e6


def _late(url: str, rate_per_s: int, core: int) -> bool:
    """Measure an open loop from one core; True where its lateness is on target."""
    all_cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    used_s = time.process_time()
    try:
        sent = _sent(url, Constant(rate_per_s=rate_per_s, duration_s=OPEN_LOOP_S))
    finally:
        os.sched_setaffinity(0, all_cores)
    used_s = time.process_time() - used_s
    late_ms = [((one.exchange.sent_ns or 0) - one.intended_ns) / 1e6 for one in sent]
    failed = sum(one.exchange.error is not None for one in sent)
    p99 = float(np.quantile(late_ms, 0.99))
    print(
        f"{rate_per_s} requests/s for {OPEN_LOOP_S} s on one core: late median {statistics.median(late_ms):.3f} ms, "
        f"p99 {p99:.3f} ms, worst {max(late_ms):.3f} ms, {failed} failed, {100 * used_s / OPEN_LOOP_S:.0f} % of the "
        f"core (target of p99: {LATE_MS:g} ms)",
        flush=True,
    )
    return p99 <= LATE_MS and not failed


def _sent(url: str, arrivals: Arrivals) -> list[Sent]:
    ready = Traffic(arrivals, 1, {}, lambda _: 1, lambda *_: b"{}", random.Random(1)).ready()  # noqa: S311
    with sender(Way(url=url, host="f", congestion_control=CONTROL, timeout_s=20)) as send:
        return ready.sent(lambda _: send)


def _beside_curl(url: str, megabytes: int) -> bool:
    curl = shutil.which("curl")
    if curl is None:
        print("curl is not installed: no comparison with it")
        return True
    body = b"x" * (megabytes * 1_000_000)
    ours, curls = [], []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "body"
        path.write_bytes(body)
        asked = [
            curl,
            "-s",
            "-o",
            "/dev/null",
            "-w",
            "%{time_total}",
            "-H",
            "Expect:",
            "--data-binary",
            f"@{path}",
            url,
        ]
        for _ in range(10):
            (exchange,) = fire(Way(url=url, host="f", congestion_control=CONTROL, timeout_s=60), [body])
            ours.append(((exchange.last_byte_ns or 0) - (exchange.sent_ns or 0)) / 1e9)
            curls.append(float(subprocess.run(asked, capture_output=True, text=True, check=True).stdout))
    overhead = 100 * (statistics.median(ours) / statistics.median(curls) - 1)
    print(
        f"{megabytes} MB, 10 times each in turn: driver {statistics.median(ours):.4f} s, curl "
        f"{statistics.median(curls):.4f} s: {overhead:+.2f} % (target: {OVERHEAD_PERCENT:g} %)",
        flush=True,
    )
    return overhead <= OVERHEAD_PERCENT


@contextmanager
def _server(bytes_per_s: float, core: int) -> Iterator[str]:
    command = ["taskset", "-c", str(core), sys.executable, "-m", "benchmarks.driver", "--serve", str(bytes_per_s)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        yield f"http://127.0.0.1:{int(process.stdout.readline() if process.stdout else '')}/"
        process.terminate()


async def _serve(bytes_per_s: float) -> None:
    """Answer each POST when its body has come, which is read no faster than this; 0 for as fast as it comes."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            head = await reader.readuntil(b"\r\n\r\n")
            length = next(int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:"))
            began, read = time.monotonic(), 0
            while read < length:
                read += len(await reader.read(min(PIECE, length - read)))
                if bytes_per_s:
                    await asyncio.sleep(max(0.0, began + read / bytes_per_s - time.monotonic()))
            writer.write(REPLY)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, limit=PIECE, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    sys.exit(main())
