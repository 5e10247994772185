"""A replica that a scenario gives less memory than its requests need: a whole run on a lab, whatever becomes of them."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
import yaml
from testbed import ROOT, trial_lab

from collect import records
from collect.records import ModelRecord

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = [
    pytest.mark.lab,
    pytest.mark.long,
    pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root"),
]

# What it takes of its own memory may be refused to it; what processes share is the kernel's, which ends them for it.
HUNGRY = """
import mmap
from typing import NamedTuple
import msgspec

class Request(msgspec.Struct):
    mib: int
    shared: bool = False

class Outcome(NamedTuple):
    reply: dict
    phases_ms: dict

def run(request, cancelled):
    size = request.mib << 20
    held = mmap.mmap(-1, size) if request.shared else bytearray(size)
    for place in range(0, size, mmap.PAGESIZE):
        held[place] = 1
    return Outcome({"mib": request.mib}, {})
"""
LIMIT_MIB = 512
# In the order of their names, in which a drawn order numbers them; the deployment's check sends the second one.
BODIES = {
    "a-ended": {"mib": 2 * LIMIT_MIB, "shared": True},
    "b-served": {"mib": 8},
    "c-refused": {"mib": 2 * LIMIT_MIB},
}
SCENARIO = {
    "name": "hungry",
    "title": "A node with little memory, 20 ms away",
    "links": [{"between": ["base_stations", "edge"], "delay_ms": 20, "jitter_ms": 4}],
    "function": {"nodes": ["edge"], "replicas": 1, "module": "app.hungry"},
    "resources": {"edge": {"memory_mib": LIMIT_MIB}},
    # After a replica was ended it is started again meanwhile.
    "requests": {"parallel": 1, "idle_s": 15, "timeout_s": 15},
    "workload": {"name": "http", "body_folder": "bodies"},
    "repetitions": 5,
}
# With it the warm-up is served, and the repetitions are served, ended, served, refused, served.
SEED = 472


@pytest.mark.fault(
    what="requests need more memory than the scenario's `resources` give the replica",
    step="measure",
    on="local",
    seen="what the process cannot have is refused (413); where the kernel ends the replica, the gateway answers 503 and the "
    "supervisor starts it again. Those repetitions fail, the next ones are measured; the report and the export count how "
    "often the kernel ended which replica, and the report warns of it",
    ends="with that request, or with the replica's start, some seconds",
    reads=(
        'answered 413: {"detail":"The request needs more memory than there is here; send less."}',
        "answered 503: gateway on edge-1, replica …: upstream connect error or disconnect/reset before headers",
        "The kernel ended replicas while the run measured, because … hungry on edge-1 1 time (512 MiB).",
    ),
)
def test_a_memory_limit_that_is_reached_is_named_counted_and_costs_that_repetition(
    tmp_path: Path, reads: Callable[[str], None]
) -> None:
    for package in ("app", "collect", "experiments"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "app" / "hungry.py").write_text(HUNGRY)
    (tmp_path / "bodies").mkdir()
    for name, body in BODIES.items():
        (tmp_path / "bodies" / f"{name}.json").write_text(json.dumps(body))
    (tmp_path / "hungry.yaml").write_text(yaml.safe_dump(SCENARIO))
    with trial_lab(tmp_path / "lab") as lab:
        variables = lab.inventory / "group_vars" / "all.yml"
        variables.write_text(yaml.safe_dump({**yaml.safe_load(variables.read_text()), "runtime_root": str(tmp_path)}))
        inventory = ["--inventory", str(lab.inventory), "--results", str(tmp_path / "results")]
        command("experiments", "experiment", *inventory, "--scenario", str(tmp_path / "hungry.yaml"), f"--seed={SEED}")
        command("experiments", "reset", *inventory[:2])
    (run,) = (tmp_path / "results").iterdir()
    models = [
        record for record in records.read(run / "raw" / "samples.jsonl")
        if isinstance(record, ModelRecord) and not record.warmup
    ]  # fmt: skip
    assert [model.error is None for model in models] == [True, False, True, False, True]
    # In the order of the sentences: attempts that failed, by scenario and repetition, then warnings.
    reads(command("collect", "analyse", *inventory[2:]))
    command("collect", "export", *inventory[2:])
    with (run / "export" / "resources.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert (row["node"], row["memory_mib"], row["oom_kills"]) == ("edge-1", str(LIMIT_MIB), "1")


def command(module: str, *arguments: str) -> str:
    """What a command of the project prints that has to work."""
    words = [sys.executable, "-m", module, *arguments]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False, timeout=1200)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout
