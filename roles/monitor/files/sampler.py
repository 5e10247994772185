"""Writes once a second how busy this node is: a line of JSON each. Standard library only, and little of it.

Usage: sampler.py FILE SECONDS [OPTIONS]. It prints a line when it begins, and ends by itself after so many seconds, and
when its file is gone. Options are JSON. With "links", an interface and a folder, each thirtieth line says whether the links
that leave the node there are in force, as the program says that roles/netem left in the folder. With "beat", which is sent
once a second to each address and port of "to", base stations hear that the node is there. With "pods", the words of a
`kubectl get pods --watch --output-watch-events --output=json`, a file beside the other one, whose name begins with "pods-", has a
line for each state that a pod comes to, with the time at which the cluster told of it.
"""

from __future__ import annotations

import atexit
import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

INTERVAL_S = 1.0
# The program takes a tenth of a second of CPU time.
LINKS_EVERY = 30
ANSWER_S = 60.0
ENDING = {signal.SIGTERM}
# How long it waits where a watch has ended, as its server has.
AGAIN_S = 1.0
# A pod's states in the order in which it comes to them; `gone` is its end.
CONDITIONS = {"scheduled": "PodScheduled", "ready": "Ready"}
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


def links_problem(interface: str, folder: str) -> str | None:
    """Return why the links that leave this node are not in force, or None."""
    command = [sys.executable, "-B", "-m", "ansible.module_utils.netem.in_force", interface, folder]
    environment = {**os.environ, "PYTHONPATH": f"{folder}/code"}
    try:
        done = subprocess.run(
            [*command, f"{folder}/emulator.py"], env=environment, capture_output=True, timeout=ANSWER_S, check=False
        )
        problem: str | None = json.loads(done.stdout)["problem"]
    except (OSError, ValueError, KeyError, subprocess.TimeoutExpired):
        return "it is unknown whether they are: the program that tells gave no answer"
    return problem


def beat(message: bytes, targets: list[tuple[str, int]]) -> None:
    """Send a datagram to each target once a second, for as long as this process lives."""
    where = [socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0] for host, port in targets]
    sockets = [(socket.socket(family, kind), address) for family, kind, _, _, address in where]
    pause = threading.Event()
    while not pause.wait(INTERVAL_S):
        for sender, address in sockets:
            with suppress(OSError):  # nobody listens there yet, or any more
                sender.sendto(message, address)


def states(event: dict[str, Any]) -> list[str]:
    """Return the states that a pod has come to, as an event of a watch has it."""
    if event["type"] == "DELETED":
        return ["gone"]
    status = event["object"]["status"]
    is_true = {one["type"] for one in status.get("conditions", ()) if one["status"] == "True"}
    is_running = [one["state"].get("running") is not None for one in status.get("containerStatuses", ())]
    found = {"created": True, "started": bool(is_running) and all(is_running)}
    found |= {state: condition in is_true for state, condition in CONDITIONS.items()}
    return [state for state in ("created", "scheduled", "started", "ready") if found[state]]


class Pods:
    """What a cluster tells of its pods, from when it is started until it is ended."""

    def __init__(self, command: list[str], target: Path) -> None:
        self.command = command
        self.target = target
        self.process: subprocess.Popen[str] | None = None
        self.has_ended = threading.Event()
        threading.Thread(target=self.watch, daemon=True).start()

    def end(self) -> None:
        """End the watch with its process."""
        self.has_ended.set()
        if self.process is not None:
            self.process.kill()

    def watch(self) -> None:
        """Write each state of each pod once, when the cluster first tells of it."""
        told = set()
        quiet = subprocess.DEVNULL
        with self.target.open("a", encoding="ascii", buffering=1) as file:
            while not self.has_ended.is_set():
                self.process = subprocess.Popen(
                    self.command, stdin=quiet, stdout=subprocess.PIPE, stderr=quiet, text=True, cwd="/"
                )
                text = ""
                for part in self.process.stdout or ():
                    text += part
                    try:  # an event is a line, or many of them
                        at_s, event, text = round(time.time(), 3), json.loads(text), ""
                    except ValueError:
                        continue
                    pod = event["object"]["metadata"]["name"]
                    for state in states(event):
                        if (pod, state) not in told:
                            told.add((pod, state))
                            file.write(json.dumps({"at_s": at_s, "pod": pod, "state": state}) + "\n")
                self.process.wait()
                self.has_ended.wait(AGAIN_S)


def line(before: list[int], after: list[int], paths: list[Path]) -> dict[str, float | str | None]:
    """Return one sample: shares of the time of all cores between two readings, memory and frequency now."""
    spent = [new - old for new, old in zip(after, before, strict=True)]
    total = sum(spent) or 1
    used, whole = memory_mib()
    frequency = frequency_mhz(paths)
    return {
        "at_s": round(time.time(), 3),
        "cpu_percent": round(100 * (total - spent[IDLE] - spent[IOWAIT] - spent[STEAL]) / total, 1),
        "steal_percent": round(100 * spent[STEAL] / total, 1),
        "memory_used_mib": round(used, 1),
        "memory_mib": round(whole, 1),
        "frequency_mhz": None if frequency is None else round(frequency, 1),
    }


def main() -> None:
    """Sample until the time is over."""
    target, seconds = Path(sys.argv[1]), float(sys.argv[2])
    options = json.loads(sys.argv[3]) if len(sys.argv) > 3 else {}
    links = options.get("links")
    # From the last sample that tells of the links to the end nobody would know of them: the end is a sample, too.
    signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
    if options.get("to"):  # in a thread, as the program that tells of the links may take its time
        message = json.dumps(options["beat"]).encode()
        threading.Thread(target=beat, args=(message, options["to"]), daemon=True).start()
    os.nice(19)  # it must not take CPU time from what it watches
    if options.get("pods"):
        atexit.register(Pods(options["pods"], target.with_name(f"pods-{target.name}")).end)
    paths = sorted(Path("/sys/devices/system/cpu").glob("cpu[0-9]*/cpufreq/scaling_cur_freq"))
    due_s = time.monotonic()
    end_s = due_s + seconds
    with target.open("a", encoding="ascii", buffering=1) as file:
        before = cpu_ticks()
        print("sampling", flush=True)
        is_last = False
        for number in itertools.count():
            if due_s >= end_s or is_last:
                return
            due_s += INTERVAL_S
            is_last = signal.sigtimedwait(ENDING, max(0.0, due_s - time.monotonic())) is not None
            after = cpu_ticks()
            sample = line(before, after, paths)
            if links and (is_last or number % LINKS_EVERY == 0):
                sample["links_problem"] = links_problem(*links)
            file.write(json.dumps(sample) + "\n")
            before = after
            if os.fstat(file.fileno()).st_nlink == 0:  # removed: nobody will read it
                return


if __name__ == "__main__":
    main()
