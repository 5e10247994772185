"""A run that was cut off knows what it has on record, and does not do it twice."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from collect import records
from collect.folder import SAMPLES, RunFolder, write_json
from collect.records import ModelRecord, NetworkRecord
from experiments import proofs
from experiments.base_station.plan import VERSION

if TYPE_CHECKING:
    from pathlib import Path

ORDER = [
    {"scenario": "edge", "block": 0, "repetition": 0, "warmup": True},
    {"scenario": "edge", "block": 1, "repetition": 0, "warmup": False},
]


def record(base_station: str, *, warmup: bool) -> ModelRecord:
    return ModelRecord(
        run="trial", plan="0" * 16, scenario="edge", base_station=base_station, block=0, repetition=0, attempt=0, warmup=warmup,
        response_time_ms=1.0, chosen_request=0, parameters={}, accuracy_test=1.0, fit_ms=1.0, training_texts=1,
        test_texts=1, error=None,
    )  # fmt: skip


def of_all(*, warmup: bool) -> NetworkRecord:
    return NetworkRecord(
        run="trial", plan="0" * 16, scenario="edge", base_station="bs-1", block=0, repetition=0, attempt=0, warmup=warmup,
        attempts={"bs-1": 0, "bs-2": 0}, chosen_base_station="bs-2", chosen_request=0, parameters={}, accuracy_test=1.0,
        fit_ms=1.0, training_texts=1, test_texts=1, error=None,
    )  # fmt: skip


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return RunFolder(tmp_path)


def test_a_run_without_a_plan_has_begun_nothing(run: RunFolder) -> None:
    assert not proofs.planned(run)
    assert not proofs.measured(run)
    assert not proofs.verified_afterwards(run)


def test_a_run_is_measured_when_every_base_station_has_every_repetition(run: RunFolder) -> None:
    edge = {
        "sites": {"edge": {"url": "http://192.0.2.1/", "host": "edge", "nodes": ["edge-1"]}},
        "routes": {"bs-1": {"edge": 1.0}, "bs-2": {"edge": 1.0}}, "division": {"weights": [1.0, 1.0]}, "workload": "http", "settings": {}, "test_share": 0.2,
        "training_shares": [0.8], "traffic": {"arrivals": "together", "parallel": 1}, "max_late_ms": 10.0,
        "congestion_control": "cubic", "connections": "new", "protocol": "http/1.1", "encoding": "plain", "timeout_s": 1.0, "idle_s": 0.0,
    }  # fmt: skip
    begun = {
        "version": VERSION,
        "run": "trial",
        "seed": 1,
        "dataset": "d",
        "splits": [[0, 1]],
        "scenarios": {"edge": edge},
    }
    write_json(run.plan, {**begun, "base_stations": {"bs-1": "192.0.2.2", "bs-2": "192.0.2.3"}, "order": ORDER})
    for name in ("bs-1", "bs-2"):
        assert not proofs.measured(run)
        (run.raw / name).mkdir(parents=True)
        records.append(run.raw / name / SAMPLES, [record(name, warmup=True)])
        assert not proofs.measured(run)
        records.append(run.raw / name / SAMPLES, [record(name, warmup=False)])
    assert not proofs.measured(run), "what came of all is missing"
    records.append(run.raw / "bs-1" / SAMPLES, [of_all(warmup=True), of_all(warmup=False)])
    assert proofs.planned(run)
    assert proofs.measured(run)


def test_links_are_verified_afterwards_when_the_report_has_some(run: RunFolder) -> None:
    write_json(run.links("after"), {"links": []})
    assert not proofs.verified_afterwards(run)
    write_json(run.links("after"), {"links": [{"source": "bs"}]})
    assert proofs.verified_afterwards(run)
