"""A real classifier that trains in a real process: health, cancellation and the cost of parsing."""

from __future__ import annotations

import json
import os
import re
import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from replica import Replica, connect, eventually, head, send

from app.search.threads import cores

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.once


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor() as pool:
        yield pool


@pytest.fixture(scope="module")
def classifier() -> Iterator[Replica]:
    with Replica("app.function") as replica:
        replica.warm()
        yield replica


def grown(news: Path, times: int) -> dict[str, Any]:
    """The peer's example, ``times`` over, no text like another."""
    example = json.loads(news.read_text())
    return {
        "x_dict": {f"{i}-{key}": f"{text} copy{i}" for i in range(times) for key, text in example["x_dict"].items()},
        "y_dict": {f"{i}-{key}": label for i in range(times) for key, label in example["y_dict"].items()},
        "model": "pac",
    }


def test_the_classifier_becomes_ready(classifier: Replica):
    assert classifier.client.get("/readyz").json() == {"status": "ready"}


def test_health_is_answered_at_once_while_a_classifier_trains(
    classifier: Replica, pool: ThreadPoolExecutor, news: Path
):
    training = pool.submit(send, classifier, grown(news, 8) | {"repeats": 4}, 300)
    eventually(classifier.running, "training")
    durations = []
    begun = time.perf_counter()
    while not training.done():
        started = time.perf_counter()
        assert classifier.client.get("/healthz").status_code == 200
        durations.append(time.perf_counter() - started)
    trained_s = time.perf_counter() - begun
    assert training.result().status_code == 200, training.result().text
    print(f"{len(durations)} answers in {trained_s:.1f} s, median {statistics.median(durations) * 1e3:.1f} ms")
    # An answer that waited for the training would have taken as long as that did.
    assert len(durations) >= 20
    assert max(durations) < trained_s / 4


def processor_s(replica: Replica) -> float:
    """Processor time of the replica's own process, in seconds."""
    fields = Path(f"/proc/{replica.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def children(replica: Replica) -> str:
    tasks = Path(f"/proc/{replica.process.pid}/task").glob("*/children")
    return "".join(task.read_text() for task in tasks)


@pytest.mark.parametrize("engine", ["fast", "plain"])
def test_a_training_whose_client_goes_away_costs_next_to_nothing_more(classifier: Replica, news: Path, engine: str):
    body = json.dumps(grown(news, 8) | {"repeats": 100, "engine": engine}).encode()
    idle = children(classifier)  # the process for searches that may never end
    started_s = processor_s(classifier)
    with connect(classifier) as connection:
        connection.sendall(head(len(body)) + body)
        eventually(classifier.running, "running")
        if engine == "fast":
            eventually(lambda: processor_s(classifier) > started_s + 1, "a second of training")
        else:
            eventually(lambda: children(classifier) != idle, "a process that trains")
    left_s = processor_s(classifier)
    eventually(lambda: not classifier.running(), "the end of the training")
    eventually(lambda: children(classifier) == idle, "the end of its processes")
    # Processor time, which a busy machine stretches little; the whole training would take minutes of it.
    assert processor_s(classifier) - left_s < 2 * cores()


def test_parsing_twelve_megabytes_is_less_than_a_tenth_of_the_response_time(classifier: Replica, news: Path):
    body = json.dumps(grown(news, 8)).encode()
    assert len(body) > 12_000_000
    started = time.perf_counter()
    response = classifier.client.post("/", content=body, timeout=300)
    response_ms = (time.perf_counter() - started) * 1e3
    phases = {name: float(ms) for name, ms in re.findall(r"(\w+);dur=([\d.]+)", response.headers["server-timing"])}
    print(f"{len(body)} bytes, response {response_ms:.0f} ms, {phases}")
    assert phases["parse"] < response_ms / 10
