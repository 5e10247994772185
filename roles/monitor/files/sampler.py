"""Writes once a second how busy this node is: a line of JSON each. Standard library only, and little of it.

Usage: sampler.py FILE SECONDS. It prints a line when it begins, and ends by itself after so many seconds, and when its
file is gone.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

INTERVAL_S = 1.0
# Fields of the first line of /proc/stat, proc_stat(5). What follows steal, the time of guests, is a part of user.
IDLE, IOWAIT, STEAL = 3, 4, 7


def cpu_ticks() -> list[int]:
    """Return the time that all cores together have spent in each state since boot, in clock ticks."""
    with Path("/proc/stat").open(encoding="ascii") as file:
        return [int(word) for word in file.readline().split()[1 : STEAL + 2]]


def memory_mib() -> tuple[float, float]:
    """Return the memory that is in use and cannot be had for other work, and all of it."""
    with Path("/proc/meminfo").open(encoding="ascii") as file:
        kib = {name: int(words.split()[0]) for name, _, words in (line.partition(":") for line in file)}
    return (kib["MemTotal"] - kib["MemAvailable"]) / 1024, kib["MemTotal"] / 1024


def frequency_mhz(paths: list[Path]) -> float | None:
    """Return the mean frequency of the cores, or None where the kernel does not tell it."""
    total_khz = 0
    for path in paths:
        total_khz += int(path.read_text("ascii"))
    return total_khz / len(paths) / 1000 if paths else None


def line(before: list[int], after: list[int], paths: list[Path]) -> str:
    """Return one sample: shares of the time of all cores between two readings, memory and frequency now."""
    spent = [new - old for new, old in zip(after, before, strict=True)]
    total = sum(spent) or 1
    used, whole = memory_mib()
    frequency = frequency_mhz(paths)
    sample = {
        "at_s": round(time.time(), 3),
        "cpu_percent": round(100 * (total - spent[IDLE] - spent[IOWAIT] - spent[STEAL]) / total, 1),
        "steal_percent": round(100 * spent[STEAL] / total, 1),
        "memory_used_mib": round(used, 1),
        "memory_mib": round(whole, 1),
        "frequency_mhz": None if frequency is None else round(frequency, 1),
    }
    return json.dumps(sample)


def main() -> None:
    """Sample until the time is over."""
    target, seconds = Path(sys.argv[1]), float(sys.argv[2])
    os.nice(19)  # it must not take CPU time from what it watches
    paths = sorted(Path("/sys/devices/system/cpu").glob("cpu[0-9]*/cpufreq/scaling_cur_freq"))
    due_s = time.monotonic()
    end_s = due_s + seconds
    with target.open("a", encoding="ascii", buffering=1) as file:
        before = cpu_ticks()
        print("sampling", flush=True)
        while due_s < end_s:
            due_s += INTERVAL_S
            time.sleep(max(0.0, due_s - time.monotonic()))
            after = cpu_ticks()
            file.write(line(before, after, paths) + "\n")
            before = after
            if os.fstat(file.fileno()).st_nlink == 0:  # removed: nobody will read it
                return


if __name__ == "__main__":
    main()
