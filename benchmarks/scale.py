"""``python -m benchmarks.scale``: what the report of a large run costs, in CPU time and memory.

Runs of 10^4, 10^5 and 10^6 records are drawn, written as the base station writes them, and put through
``python -m collect report`` in a process of its own: reading, analysis, figures, page. The targets are those of the
largest run. CPU time, as wall time depends on what else the machine does; a busy machine still makes it larger.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "collect"))

from generated_run import repetition, write_run  # noqa: E402

from collect import records  # noqa: E402

if TYPE_CHECKING:
    from collect.records import Record

RECORDS = (10_000, 100_000, 1_000_000)
TARGET_CPU_S, TARGET_PEAK_MB = 60.0, 1000.0
# Of a pair: two requests to the edge and one to the cloud, each with what the base station did with the replies.
OF_A_PAIR = 5
AT_ONCE = 1000  # pairs that are drawn before they are written
SEED = 6


def main(arguments: list[str] | None = None) -> int:
    """Print the table; returns 1 where the largest run misses a target of 10^6 records."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=(__doc__ or "").split("\n")[0])
    parser.add_argument(
        "--records", type=int, nargs="+", default=RECORDS, help="how many records the runs have (10^4, 10^5 and 10^6)"
    )
    parser.add_argument("--command", choices=("report", "analyse"), default="report", help="what is measured (report)")
    options = parser.parse_args(arguments)
    print(f"{'records':>9}{'MB':>8}{'CPU s':>9}{'peak MB':>9}{'load':>7}", flush=True)
    met = True
    for count in options.records:
        with tempfile.TemporaryDirectory() as folder:
            path = draw(Path(folder), count)
            cpu_s, peak_mb = measure(options.command, Path(folder))
            size_mb = path.stat().st_size / 1e6
        load = os.getloadavg()[0]
        print(f"{count:>9}{size_mb:>8.1f}{cpu_s:>9.1f}{peak_mb:>9.0f}{load:>7.1f}", flush=True)
        met = cpu_s <= TARGET_CPU_S and peak_mb <= TARGET_PEAK_MB
    print(f"targets of 10^6 records: {TARGET_CPU_S:g} s of CPU, {TARGET_PEAK_MB:g} MB")
    return int(not met)


def draw(results: Path, count: int) -> Path:
    """Write a run of about so many records into a folder; return the file that holds them."""
    random = Random(SEED)  # noqa: S311 - of numbers that are drawn again
    path = write_run(results, _pair(0, random, warmup=True)) / "raw" / "samples.jsonl"
    pairs = max(count // OF_A_PAIR - 1, 1)
    for first in range(1, pairs + 1, AT_ONCE):
        numbers = range(first, min(first + AT_ONCE, pairs + 1))
        records.append(path, [record for number in numbers for record in _pair(number, random)])
    return path


def measure(command: str, results: Path) -> tuple[float, float]:
    """Return the CPU time in seconds and the largest resident size in MB of a command on the only run of a folder."""
    arguments = [sys.executable, "-m", "collect", command, "--results", str(results)]
    process = subprocess.Popen(arguments, cwd=ROOT, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(arguments)} ended with exit code {process.returncode}")
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024 / 1e6


def _pair(number: int, random: Random, *, warmup: bool = False) -> list[Record]:
    split = random.gauss(0.921, 0.009)
    return [
        record
        for scenario in ("edge", "cloud")
        for record in repetition(
            scenario, number, random, accuracy=round(630 * (split + random.gauss(0, 0.002))) / 630, warmup=warmup
        )
    ]


if __name__ == "__main__":
    sys.exit(main())
