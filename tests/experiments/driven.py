"""A driver that measures a function of this process, over loopback: what it put on record, and what it asked."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from loopback import NODES, Reply, Request, function
from trial_nodes import aimed, inventory

from collect import records
from collect.records import ModelRecord, RequestRecord
from experiments import spec
from experiments.base_station.driver import Driver
from experiments.placement import place
from experiments.plan import draw
from experiments.workloads.data import Dataset

if TYPE_CHECKING:
    from collections.abc import Callable

    from experiments.base_station.plan import Plan
    from experiments.spec import Experiment

ROOT = Path(__file__).resolve().parents[2]
TEXTS = Dataset([f"text {number}" for number in range(40)], ["FAKE", "REAL"] * 20)
SCENARIO = {
    "name": "words",
    "title": "Words are counted near the base station",
    "links": [{"delay_ms": 1}],
    "function": {"nodes": ["edge"], "replicas": 2},
    "requests": {"parallel": 2},
    "workload": {"name": "http", "share": ["texts"]},
    "repetitions": 3,
}


def loaded(folder: Path, **changes: Any) -> Experiment:
    path = folder / "words.yaml"
    path.write_text(yaml.safe_dump({**SCENARIO, **changes}), encoding="utf-8")
    return spec.load(str(path))


def drawn(experiment: Experiment, url: str) -> Plan:
    plan = draw(experiment, place(experiment, inventory()), run="trial", texts=len(TEXTS.x), dataset="d", seed=1)
    return aimed(plan, url)


def counted(number: int, request: Request) -> Reply:
    """Reply as `docs/your-own-function.md` does behind app/serving."""
    node = NODES[number % len(NODES)]
    return Reply(json.dumps({"words": {"text": 16}, "replica": f"words-{node}", "node": node}).encode())


def measured(
    folder: Path, experiment: Experiment, respond: Callable[[int, Request], Reply]
) -> tuple[list[RequestRecord], list[ModelRecord], list[Request]]:
    (folder / "raw").mkdir()
    dataset, samples = folder / "dataset.json", folder / "raw" / "samples.jsonl"
    dataset.write_text(json.dumps({"x": TEXTS.x, "y": TEXTS.y}), encoding="utf-8")
    with function(respond) as served:
        Driver(drawn(experiment, served.url), dataset, samples, "bs").run(lambda _: None)
    read = list(records.read(samples))
    requests = [record for record in read if isinstance(record, RequestRecord)]
    return requests, [record for record in read if isinstance(record, ModelRecord)], served.requests


def reported(run: Path, experiment: Experiment) -> tuple[str, str]:
    """Report what was measured in a run's folder; return what was printed, and the page."""
    (run / "scenario.yaml").write_text(yaml.safe_dump(experiment.model_dump(mode="json")), encoding="utf-8")
    (run / "manifest.json").write_text(json.dumps({"run": run.name}), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "collect", "report", run.name, "--results", str(run.parent)],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout, (run / "report.html").read_text(encoding="utf-8")
