"""``python -m benchmarks.links``: how true links are and what they cost, for both backends, as two tables.

Fidelity: Table I's two rows and delays of 0.1, 50 and 200 ms. Mean and sigma are those of 4000 frames a millisecond
apart, less what the path takes by itself; mean and median also beside 100 Mbit/s of full frames. The top rate is what
arrives of more frames than the link can carry; TCP's is one connection's over the link without its loss, which would
limit TCP and not the link. The emulator runs on network namespaces of this machine; netem in a user-mode Linux, whose
one CPU and coarse timers are slower than a real machine's: its own rate over the clear path stands beside.

Classification: what a datagram costs its sender when 1 to 200 links leave the node.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import fidelity
from ansible.module_utils.netem.estimates import loss_interval
from uml import boot
from wires import Wires

MEAN_TARGET_US, TOP_TARGET_MBIT = 20.0, 1000.0  # of the emulator
SILENCE_S = 900.0
HEAD = (
    "backend   link (ms, %)           mean us error, 95 %   median  at 100 Mbit/s   median  sigma ms    error  "
    "lost % (95 %)         top Mbit/s  clear  TCP Mbit/s  clear  cores/Gbit/s"
)


def main(arguments: list[str] | None = None) -> int:
    """Print the tables; returns 2 where this machine can measure neither backend."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.links", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--seconds", type=float, default=5, help="how long each TCP connection sends (5)")
    options = parser.parse_args(arguments)
    if os.geteuid() != 0:
        print("python -m benchmarks.links: network namespaces need root: run it again with sudo.")
        return 2
    rows, classified = emulated(options.seconds)
    if reason := boot.unusable():
        print(f"netem is left out: {reason}")
    else:
        (netem,) = boot.messages("measure", "fidelity", silence_s=SILENCE_S)
        rows += netem["links"]
        classified += [row | {"backend": "kernel"} for row in netem["classification"]]
    print(HEAD)
    for row in rows:
        print(line(row))
    print("\nbackend   links  applied s  sent us")
    for row in classified:
        print(f"{row['backend']:<10}{row['links']:>5}{row['applied_s']:>11.2f}{row['sent_us']:>9.2f}")
    print(
        f"\nload {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores; the emulator's mean should be right to "
        f"{MEAN_TARGET_US:g} us up to 100 Mbit/s, its top rate at least {TOP_TARGET_MBIT:g} Mbit/s"
    )
    return 0


def emulated(seconds: float) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Measure the emulator on namespaces of this machine."""
    with tempfile.TemporaryDirectory() as folder:
        wires = Wires(f"fbb{os.getpid()}", ("a", "b"), Path(folder))
        wires.up()
        try:
            rows = fidelity.fidelity(wires, "emulator", seconds)
            classified = [row | {"backend": "emulator"} for row in fidelity.classification(wires, "emulator")]
        finally:
            wires.links("a", "absent")
            wires.down()
    return rows, classified


def line(row: dict[str, Any]) -> str:
    """One row of the fidelity table."""
    link = f"{row['delay_ms']:g} ± {row['jitter_ms']:g}, {row['loss_percent']:g} %"
    low, high = loss_interval(row["lost"], row["frames"])
    lost = f"{100 * row['lost'] / row['frames']:.3f} ({100 * low:.3f}-{100 * high:.3f})"
    sigma = row["sigma_ms"] / row["jitter_ms"] - 1 if row["jitter_ms"] else math.nan
    # Half of the mean's 95 % interval: what a jitter's own draws leave open.
    error, busy = (
        f"{1000 * (row[f'{when}mean_ms'] - row['delay_ms']):+.0f} ± "
        f"{1960 * row[f'{when}sigma_ms'] / math.sqrt(row['frames'] - row['lost']):.0f}"
        for when in ("", "busy_")
    )
    # By the median as well: a machine that stands still for some ms moves means, and is no fault of a link's.
    median, busy_median = (1000 * (row[f"{when}median_ms"] - row["delay_ms"]) for when in ("", "busy_"))
    return (
        f"{row['backend']:<10}{link:<20}{1000 * row['mean_ms']:>10.0f}"
        f"{error:>12}{median:>+9.0f}{busy:>15}{busy_median:>+9.0f}"
        f"{row['sigma_ms']:>10.3f}{'' if math.isnan(sigma) else f'{100 * sigma:+.1f} %':>9}  {lost:<22}"
        f"{row['top_mbit_per_s']:>9.0f}{row['bare_top_mbit_per_s']:>7.0f}{row['tcp_mbit_per_s']:>12.0f}"
        f"{row['bare_tcp_mbit_per_s']:>7.0f}{row['cores_per_gbit']:>14.2f}"
    )


if __name__ == "__main__":
    sys.exit(main())
