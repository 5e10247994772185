"""``python -m experiments.base_station``: the driver as a program, started detached, followed and stopped.

``start`` leaves a process in a session of its own, so the measurement goes on when the controller or the SSH
connection is gone; ``follow`` waits for the next repetition and prints the status; ``check`` sends one request a
replica and prints which replicas answered.
"""

from __future__ import annotations

import argparse
import errno
import json
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

from experiments.base_station import plan, process, status
from experiments.base_station.check import spread
from experiments.base_station.crossing import Delays
from experiments.base_station.driver import Driver
from experiments.base_station.errors import DriverError, disk_full
from experiments.base_station.links import Links
from experiments.base_station.nodes import LostNodeError, Nodes
from experiments.workloads import data
from experiments.workloads.workload import WorkloadError

if TYPE_CHECKING:
    from collect.records import ModelRecord


def main() -> int:
    """Run the command line; a known error is one sentence on standard error and exit code 1."""
    parser = argparse.ArgumentParser(prog=f"python -m {process.PROGRAM}", description=__doc__)
    parser.add_argument("command", choices=["start", "run", "follow", "stop", "check"])
    parser.add_argument(
        "--folder", type=Path, required=True, help="holds plan.json and dataset.json; records go to raw/"
    )
    parser.add_argument("--base-station", default="bs", help="this node's name in the records")
    parser.add_argument("--wait-s", type=float, default=20, help="follow: how long to wait for the next repetition")
    parser.add_argument(
        "--links",
        type=json.loads,
        default=[],
        help="the command that tells whether the links of this node are in force, as a JSON list of words",
    )
    parser.add_argument(
        "--delays-back",
        type=lambda words: msgspec.json.decode(words, type=dict[str, Delays]),
        default={},
        help="what the links back to this node add: lowest_ms, mean_ms, sigma_ms by the node that they leave, as JSON",
    )
    parser.add_argument(
        "--beats-port", type=int, default=0, help="UDP port at which the nodes say that they are there; 0: they do not"
    )
    parser.add_argument(
        "--port",
        type=int,
        default=32000,
        help="TCP port of the first base station, by which several of them agree on when to start",
    )
    parser.add_argument("--source", help="this node's address on the data network, from which requests are sent")
    arguments = parser.parse_args()
    folder: Path = arguments.folder.resolve()
    links = Links(arguments.links, arguments.delays_back)
    try:
        match arguments.command:
            case "start":
                _start(folder, links, arguments)
            case "run":
                _run(folder, links, arguments)
            case "follow":
                _follow(folder, arguments.wait_s)
            case "stop":
                print(json.dumps({"changed": process.stop(folder)}))
            case _:
                planned, texts = plan.read(folder / "plan.json"), data.read(folder / "dataset.json")
                print(json.dumps(spread(planned, arguments.base_station, texts, arguments.source, links)))
    except (DriverError, WorkloadError, OSError, ValueError) as error:
        print(f"{folder}: {_sentence(error)}", file=sys.stderr)
        return 1
    return 0


def _start(folder: Path, links: Links, arguments: argparse.Namespace) -> None:
    # A driver that has written how it ended is about to end, and measures nothing more.
    changed = process.running(folder) is None or (
        not status.read(folder).is_alive
        and process.wait(lambda: process.running(folder) is None, process.STOP_DEADLINE_S)
    )
    if changed:
        status.write(folder, status.Status("starting"))
        process.start(folder, arguments.base_station, links, arguments.source, arguments.beats_port, arguments.port)
    print(json.dumps({"changed": changed}))


def _run(folder: Path, links: Links, arguments: argparse.Namespace) -> None:
    with process.alone(folder):
        current = status.Status("running")
        try:
            (folder / "raw").mkdir(exist_ok=True)
            while True:
                driver = _driver(folder, arguments, links)
                current = replace(current, finished=driver.finished, total=driver.total)
                status.write(folder, current)

                def report(record: ModelRecord, driver: Driver = driver) -> None:
                    nonlocal current
                    current = replace(current, finished=driver.finished, last=status.last(record))
                    status.write(folder, current)

                driver.run(report)
                # The plan may have been extended meanwhile: the run was resumed with more repetitions.
                if len(plan.read(folder / "plan.json").order) == driver.total:
                    break
        except Exception as error:
            lost = error.nodes if isinstance(error, LostNodeError) else ()
            with suppress(OSError):  # the disk may be full: then the log, or its lack, tells
                status.write(folder, replace(current, state="failed", error=_sentence(error), lost=lost))
            raise
        status.write(folder, replace(current, state="done"))


def _driver(folder: Path, arguments: argparse.Namespace, links: Links) -> Driver:
    planned = plan.read(folder / "plan.json")
    plan.check_dataset(planned, folder / "dataset.json")
    names = sorted({node for scenario in planned.scenarios.values() for node in scenario.nodes})
    return Driver(
        planned,
        folder / "dataset.json",
        folder / "raw" / "samples.jsonl",
        arguments.base_station,
        links,
        Nodes(planned.run, names, arguments.beats_port, arguments.source),
        arguments.source,
        arguments.port,
    )


def _follow(folder: Path, wait_s: float) -> None:
    before = status.read(folder)
    process.wait(lambda: status.read(folder) != before or not before.is_alive, wait_s)
    current = status.read(folder)
    if current.is_alive and process.running(folder) is None:
        # It may have ended between the two looks: what it wrote last is the truth.
        current = status.read(folder)
        if current.is_alive:
            current = replace(current, state="failed", error=f"the driver died: {process.last_words(folder)}")
    print(msgspec.json.encode(current).decode())


def _sentence(error: Exception) -> str:
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return disk_full(error.filename or "raw records")
    return str(error) or type(error).__name__


if __name__ == "__main__":
    sys.exit(main())
