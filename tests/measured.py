"""A measurement as the base station runs it: a folder with plan and data, the driver as a process, a function on loopback."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from loopback import Function, Reply, Request, answer, function
from processes import running
from trial_nodes import aimed, inventory, only

from collect import records
from collect.records import ModelRecord, RequestRecord
from experiments.placement import place
from experiments.plan import as_json, draw

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).resolve().parent.parent
REPETITIONS = 3
POINT = {"C": 1.0, "fit_intercept": True, "loss": "hinge"}

ALLOWED = Path("/proc/sys/net/ipv4/tcp_allowed_congestion_control").read_text(encoding="ascii").split()
CUBIC = pytest.mark.skipif(
    os.geteuid() != 0 and "cubic" not in ALLOWED, reason="on this machine only root may use the scenario's cubic"
)


def trained(number: int, request: Request) -> Reply:
    """Reply with parameters that the base station can train with."""
    return Reply(json.dumps({**json.loads(answer(number, request).body), "best parameters": POINT}).encode())


def measurement(command: str, folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-m", "experiments.base_station", command, "--folder", str(folder), *arguments]
    return subprocess.run(
        words, cwd=ROOT, env=os.environ | environment, capture_output=True, text=True, check=False, timeout=300
    )


def told(command: str, folder: Path, *arguments: str, **environment: str) -> dict[str, Any]:
    done = measurement(command, folder, *arguments, **environment)
    assert done.returncode == 0, done.stderr
    answered: dict[str, Any] = json.loads(done.stdout)
    return answered


def followed(folder: Path, repetitions: int = REPETITIONS) -> dict[str, Any]:
    """Follow a driver to its end, as roles/driver does."""
    while (status := told("follow", folder))["state"] not in ("done", "failed"):
        assert status["total"] in (0, repetitions)
    return status


def samples(folder: Path) -> Path:
    return folder / "raw" / "samples.jsonl"


def pid_of(folder: Path) -> int:
    return int((folder / "driver.pid").read_text(encoding="utf-8"))


def session_of(leader: int) -> list[int]:
    """The processes that live in a session."""
    return [pid for pid, process in running().items() if process.session == leader]


def trainer_of(folder: Path) -> int:
    """The base station's trainer: what the driver has started."""
    leader = pid_of(folder)
    (trainer,) = (pid for pid in session_of(leader) if pid != leader)
    return trainer


@contextmanager
def planned(
    folder: Path, respond: Callable[[int, Request], Reply] = trained, *, repetitions: int = REPETITIONS
) -> Iterator[Function]:
    """A run's folder on the base station, and the function that its plan names."""
    texts = [f"word{n % 7} thing{n % 5} {'moon cheese' if n % 2 else 'earth bread'}" for n in range(40)]
    data = json.dumps({"x": texts, "y": ["FAKE" if n % 2 else "REAL" for n in range(40)]}).encode()
    experiment = only("edge", repetitions)
    placed = place(experiment, inventory())
    with function(respond) as served:
        digest = hashlib.sha256(data).hexdigest()
        plan = aimed(draw(experiment, placed, run="trial", texts=len(texts), dataset=digest, seed=1), served.url)
        (folder / "plan.json").write_text(json.dumps(as_json(plan)), encoding="utf-8")
        (folder / "dataset.json").write_bytes(data)
        try:
            yield served
        finally:
            measurement("stop", folder)


def models(folder: Path) -> list[ModelRecord]:
    """The records that end the repetitions."""
    return [record for record in records.read(samples(folder)) if isinstance(record, ModelRecord)]


def requests(folder: Path) -> list[RequestRecord]:
    """The records of the requests."""
    return [record for record in records.read(samples(folder)) if isinstance(record, RequestRecord)]


def check_complete(folder: Path) -> None:
    """Every repetition has one model, and it rests on one whole pair of requests of the same attempt."""
    assert [one.repetition for one in models(folder)] == list(range(REPETITIONS))
    for model in models(folder):
        assert model.error is None
        of_both = [one for one in requests(folder) if one.repetition == model.repetition]
        assert [one.request for one in of_both if one.attempt == model.attempt] == [0, 1]


def links_in(folder: Path, links: str | None = "these", problem: str | None = None) -> Path:
    """Let the program that is asked for the links answer this; the file may be changed."""
    answer = folder / "links.json"
    answer.write_text(json.dumps({"links": links, "problem": problem}))
    return answer


def start_over(links: Path) -> None:
    """Start the driver as roles/driver does where links are shaped."""
    told("start", links.parent, "--links", json.dumps(["cat", str(links)]))


def free_port() -> int:
    """A UDP port that nobody has."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


@contextmanager
def beating(port: int, *nodes: str) -> Iterator[None]:
    """Say that nodes are there, as roles/monitor does on each of them."""
    ended = threading.Event()

    def beat() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            while not ended.wait(0.2):
                sender.sendto(b"\xff{", ("127.0.0.1", port))  # what else comes to this port is passed over
                for node in nodes:
                    sender.sendto(json.dumps({"run": "trial", "node": node}).encode(), ("127.0.0.1", port))

    thread = threading.Thread(target=beat)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
