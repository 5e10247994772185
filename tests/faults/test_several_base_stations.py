"""Faults of one of several base stations, which start each repetition together: what becomes of the others."""

from __future__ import annotations

import hashlib
import json
import os
import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from loopback import Function, function
from measured import CUBIC, followed, free_port, measurement, pid_of, samples, told, trained
from msgspec.structs import replace
from trial_nodes import PAPER, aimed, inventory, only

from collect import records
from collect.analysis.repetitions import gather
from experiments.placement import place
from experiments.plan import as_json, draw

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

STATIONS = {"bs-1": "127.0.0.1", "bs-2": "127.0.0.2", "bs-3": "127.0.0.3"}
REPETITIONS = 3
REQUESTS = 2 * len(STATIONS)


@contextmanager
def planned(folder: Path) -> Iterator[Function]:
    """A run's folder on each base station, and the function that their plan names."""
    texts = [f"word{n % 7} thing{n % 5} {'moon cheese' if n % 2 else 'earth bread'}" for n in range(120)]
    data = json.dumps({"x": texts, "y": ["FAKE" if n % 2 else "REAL" for n in range(120)]}).encode()
    experiment = only("edge", REPETITIONS)
    placed = place(experiment, inventory({**PAPER, "base_stations": tuple(STATIONS)}))
    digest = hashlib.sha256(data).hexdigest()
    drawn = draw(experiment, placed, run="trial", texts=len(texts), dataset=digest, seed=1)
    with function(trained) as served:
        plan = json.dumps(as_json(aimed(replace(drawn, base_stations=STATIONS), served.url)))
        for name in STATIONS:
            (folder / name).mkdir()
            (folder / name / "plan.json").write_text(plan, encoding="utf-8")
            (folder / name / "dataset.json").write_bytes(data)
        try:
            yield served
        finally:
            for name in STATIONS:
                measurement("stop", folder / name)


def start(folder: Path, port: int) -> None:
    for name in STATIONS:
        told("start", folder / name, "--base-station", name, "--port", str(port))


@CUBIC
@pytest.mark.fault(
    what="the driver of one of several base stations is killed (-9) in a repetition",
    step="measure",
    on="loopback",
    seen="the others end with that reason; started again, all measure that repetition again and no other",
    ends="with the next start",
    reads="bs-2 is gone",
)
def test_the_others_end_with_one_that_was_killed_and_nothing_is_measured_twice(
    tmp_path: Path, reads: Callable[[str], None]
) -> None:
    port = free_port()
    with planned(tmp_path) as served:
        served.hold_from(REQUESTS + 1)
        start(tmp_path, port)
        served.wait_for(2 * REQUESTS)
        os.kill(pid_of(tmp_path / "bs-2"), signal.SIGKILL)
        served.release()
        ends = {name: followed(tmp_path / name) for name in STATIONS}
        assert {end["state"] for end in ends.values()} == {"failed"}
        reads(ends["bs-1"]["error"])
        assert "bs-1 has ended: bs-2 is gone" in ends["bs-3"]["error"]
        start(tmp_path, port)
        assert {followed(tmp_path / name)["state"] for name in STATIONS} == {"done"}
        assert len(served.requests) == (REPETITIONS + 1) * REQUESTS
    found = [record for name in STATIONS for record in records.read(samples(tmp_path / name))]
    measurements = gather(found)
    assert [one.repetition for one in measurements.scenarios["edge"]] == list(range(REPETITIONS))
    # The one that was killed has nothing of the first attempt on record.
    assert [one.attempts for one in measurements.scenarios["edge"]][1] == {"bs-1": 1, "bs-2": 0, "bs-3": 1}
    assert all(failure.repetition == 1 and failure.measured_again for failure in measurements.failures)
