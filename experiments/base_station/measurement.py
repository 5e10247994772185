"""The driver as a program on the base station: started detached, followed, stopped. Shipped to the base station.

``start`` leaves a process in a session of its own, so the measurement goes on when the controller or the SSH
connection is gone; ``follow`` waits for the next repetition and says where it stands; ``check`` fires one request a
replica and says which replicas answered.
"""

from __future__ import annotations

import argparse
import errno
import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.base_station.driver import Driver, DriverError, body
from experiments.base_station.exchange import fire

if TYPE_CHECKING:
    from collections.abc import Callable

    from collect.records import ModelRecord

# How often a waiting process looks again; nothing is measured by it.
LOOK_S = 0.2
STOP_DEADLINE_S = 10
# Enough texts that two requests are at work at the same time also on a busy machine, or one replica could answer both.
CHECK_TEXTS = 400


def main() -> int:
    """Run the command line; a known error is one sentence on standard error and exit code 1."""
    parser = argparse.ArgumentParser(prog="python -m experiments.base_station.measurement", description=__doc__)
    parser.add_argument("command", choices=["start", "run", "follow", "stop", "check"])
    parser.add_argument(
        "--folder", type=Path, required=True, help="holds plan.json and dataset.json; records go to raw/"
    )
    parser.add_argument("--base-station", default="bs", help="this node's name in the records")
    parser.add_argument("--wait-s", type=float, default=20, help="follow: how long to wait for the next repetition")
    arguments = parser.parse_args()
    folder: Path = arguments.folder.resolve()
    try:
        match arguments.command:
            case "start":
                return _start(folder, arguments.base_station)
            case "run":
                return _run(folder, arguments.base_station)
            case "follow":
                return _follow(folder, arguments.wait_s)
            case "stop":
                return _stop(folder)
            case _:
                return _check(folder)
    except (DriverError, OSError, ValueError) as error:
        print(f"{folder}: {error}", file=sys.stderr)
        return 1


def _start(folder: Path, base_station: str) -> int:
    if _running(folder) is not None:
        print(json.dumps({"changed": False}))
        return 0
    _write_status(folder, {"state": "starting", "finished": 0, "total": 0, "last": None, "error": None})
    command = [sys.executable, "-m", "experiments.base_station.measurement", "run", "--folder", str(folder)]
    with (folder / "driver.log").open("ab") as log:
        process = subprocess.Popen(
            [*command, "--base-station", base_station],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    (folder / "driver.pid").write_text(f"{process.pid}\n", encoding="utf-8")
    print(json.dumps({"changed": True}))
    return 0


def _run(folder: Path, base_station: str) -> int:
    with (folder / "driver.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DriverError("a driver is measuring here already") from None
        status: dict[str, Any] = {"state": "running", "finished": 0, "total": 0, "last": None, "error": None}
        try:
            plan = json.loads((folder / "plan.json").read_text(encoding="utf-8"))
            (folder / "raw").mkdir(exist_ok=True)
            driver = Driver(plan, folder / "dataset.json", folder / "raw" / "samples.jsonl", base_station)
            status |= {"finished": driver.finished, "total": driver.total}
            _write_status(folder, status)

            def report(record: ModelRecord) -> None:
                last = {
                    "scenario": record.scenario,
                    "repetition": record.repetition,
                    "warmup": record.warmup,
                    "response_time_ms": record.response_time_ms,
                    "accuracy_test": record.accuracy_test,
                    "error": record.error,
                }
                status.update(finished=driver.finished, last=last)
                _write_status(folder, status)

            driver.run(report)
        except Exception as error:
            with suppress(OSError):  # the disk may be full: the log, or its lack, says so
                _write_status(folder, status | {"state": "failed", "error": _sentence(error)})
            raise
        _write_status(folder, status | {"state": "done"})
    return 0


def _follow(folder: Path, wait_s: float) -> int:
    before = _read_status(folder)
    _wait(lambda: _read_status(folder) != before or before["state"] in ("done", "failed"), wait_s)
    status = _read_status(folder)
    if status["state"] in ("starting", "running") and _running(folder) is None:
        # It may have ended between the two looks: what it wrote last is the truth.
        status = _read_status(folder)
        if status["state"] in ("starting", "running"):
            status |= {"state": "failed", "error": f"the driver died: {_last_line(folder / 'driver.log')}"}
    print(json.dumps(status))
    return 0


def _stop(folder: Path) -> int:
    pid = _running(folder)
    if pid is not None:
        # The driver leads its session, so its trainer is in its process group.
        with suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGTERM)
        if not _wait(lambda: _running(folder) is None, STOP_DEADLINE_S):
            with suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)
    print(json.dumps({"changed": pid is not None}))
    return 0


def _check(folder: Path) -> int:
    """Fire as many parallel requests as a repetition has, and want every replica of the scenario to answer one."""
    plan = json.loads((folder / "plan.json").read_text(encoding="utf-8"))
    data = json.loads((folder / "dataset.json").read_text(encoding="utf-8"))
    found = {}
    for name, scenario in plan["scenarios"].items():
        options = {**scenario["options"], "engine": "fast"} if "engine" in scenario["options"] else scenario["options"]
        rows = _both_labels(data["y"])
        payload = body(data["x"], data["y"], rows, {**scenario, "options": options})
        bodies = [payload] * len(scenario["training_shares"])
        exchanges = fire(
            scenario["url"],
            scenario["host"],
            bodies,
            congestion_control=scenario["congestion_control"],
            timeout_s=scenario["timeout_s"],
        )
        errors = [exchange.error for exchange in exchanges if exchange.error]
        if errors:
            raise DriverError(f"scenario {name}: {errors[0]}")
        other = [
            one.congestion_control for one in exchanges if one.congestion_control != scenario["congestion_control"]
        ]
        if other:
            raise DriverError(f"scenario {name}: TCP uses {other[0]}, not {scenario['congestion_control']}")
        replies = [json.loads(exchange.body) for exchange in exchanges]
        found[name] = {reply["replica"]: reply["node"] for reply in replies}
        nodes = sorted(found[name].values())
        if nodes != sorted(scenario["nodes"][: len(bodies)]):
            raise DriverError(
                f"scenario {name}: {len(bodies)} parallel requests met replicas on {', '.join(nodes)}; "
                f"expected one each on {', '.join(scenario['nodes'])}"
            )
    print(json.dumps(found))
    return 0


def _sentence(error: Exception) -> str:
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"the disk of the base station is full ({error.filename or 'raw records'}); make room and go on"
    return str(error) or type(error).__name__


def _both_labels(labels: list[str]) -> tuple[int, ...]:
    by_label: dict[str, list[int]] = {}
    for row, label in enumerate(labels):
        by_label.setdefault(label, []).append(row)
    each = CHECK_TEXTS // len(by_label)
    return tuple(row for rows in by_label.values() for row in rows[:each])


def _running(folder: Path) -> int | None:
    """Return the pid of the driver that holds this folder's lock, if one does."""
    try:
        pid = int((folder / "driver.pid").read_text(encoding="utf-8"))
        command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except (OSError, ValueError):
        return None
    return pid if str(folder).encode() in command and b"experiments.base_station.measurement" in command else None


def _wait(condition: Callable[[], bool], deadline_s: float) -> bool:
    """Look again until the condition holds; return whether it did before the deadline."""
    until = time.monotonic() + deadline_s
    pause = threading.Event()
    while not condition():
        if time.monotonic() > until:
            return False
        pause.wait(LOOK_S)
    return True


def _write_status(folder: Path, status: dict[str, Any]) -> None:
    """Replace the status in one step, so that a reader never sees half of it."""
    partial = folder / "status.json.part"
    partial.write_text(json.dumps(status), encoding="utf-8")
    partial.replace(folder / "status.json")


def _read_status(folder: Path) -> dict[str, Any]:
    path = folder / "status.json"
    if not path.exists():
        raise DriverError("no driver was started here")
    status: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return status


def _last_line(path: Path) -> str:
    lines = path.read_text(encoding="utf-8", errors="replace").strip().splitlines() if path.exists() else []
    return lines[-1] if lines else "it left no log; is the disk full?"


if __name__ == "__main__":
    sys.exit(main())
